// Package encode reads recordings and writes the clips that are sent to an analysis.
//
// [Open] gives a [Source]: a stream of decoded PCM whose memory does not grow with the length of the file, whatever the
// container. [Deinterleave] takes one channel out of it, a [Resampler] brings that channel to the wanted rate, [ToInt16]
// makes 16-bit PCM of it, and [WriteWAV] writes mono 16-bit PCM whose size is proven below [MaxBytes] before the first
// byte.
//
// # What is read
//
// WAV (PCM of 8 to 32 bits, float, A-law, mu-law), MP3 and Ogg Opus are read in Go. Everything else, and what those
// readers refuse by name with an [UnsupportedError], is decoded by the program ffmpeg where it is installed.
//
// # Damage
//
// Positions in a Source are positions in the recording. What cannot be decoded is handed out as silence of the same
// length wherever the length can be known, and counted: see [DamageOf]. A file that ends before it should gives all that
// is there, and then an error that wraps [ErrTruncated] instead of [io.EOF]. Nothing that is known to be noise is ever
// handed out as audio.
//
// # Live codecs
//
// [ALawDecoder], [MuLawDecoder], [G722Decoder] and their encoders work on RTP payloads as well as on files.
package encode
