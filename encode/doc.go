// Package encode reads recordings, decodes telephony codecs, and writes the clips that are sent to an analysis.
//
// [Open] returns a [Source]: a stream of decoded PCM whose memory does not grow with the length of the file.
// [Deinterleave] extracts one channel, a [Resampler] converts it to another rate, and [ToInt16] converts it to 16-bit
// PCM. [WriteWAV] writes mono 16-bit PCM. It checks that the file will be smaller than [MaxBytes] before it writes the
// first byte.
//
// # Formats
//
// WAV (PCM of 8 to 32 bits, float, A-law, mu-law), MP3 and Ogg Opus are read in Go. All other formats, and files that
// those readers refuse with an [UnsupportedError], are decoded by the program ffmpeg where it is installed.
//
// # Damage
//
// A position in a Source is a position in the recording. Audio that cannot be decoded is returned as silence of the same
// length, where the length is known, and is counted: see [DamageOf]. A truncated file returns all audio that it holds,
// and then an error that wraps [ErrTruncated] instead of [io.EOF]. Frames that are known to decode to noise are damage,
// not audio.
//
// # Live codecs
//
// [ALawDecoder], [MuLawDecoder], [G722Decoder] and their encoders work on RTP payloads as well as on files.
package encode
