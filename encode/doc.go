// Package encode reads recordings, decodes telephony codecs, and writes the clips that are sent to an analysis.
//
// [Open] returns a [Source]: a stream of decoded PCM whose memory does not grow with the length of the file.
// [Deinterleave] extracts one channel, a [Resampler] converts it to another rate, and [ToInt16] converts it to 16-bit
// PCM. [WriteWAV] writes mono 16-bit PCM. It checks that the file will be smaller than [MaxBytes] before it writes the
// first byte.
//
// # Formats
//
// WAV (PCM of 8 to 32 bits, float, A-law, mu-law, in both byte orders), MP3 and Ogg Opus are read in Go. All other formats,
// and files that those readers refuse with an [UnsupportedError], are decoded by the program ffmpeg where it is installed.
// ffmpeg runs under limits of memory, CPU time and output, opens local files only, and ends with the Source.
//
// # Parts and tracks
//
// A file may hold several recordings. Open finds them by their headers, and streams of MPEG audio, AAC, AC-3, DTS,
// WavPack and MPEG-TS by chains of frames. Parts that follow each other, such as joined files or the links of an Ogg
// chain, are read one after the other. Tracks that run side by side, such as the audio tracks of an MP4 file, become
// further channels: see [TracksOf]. All of them are converted to the highest rate among them. A header inside the audio
// of another file is ambiguous: both readings are decoded, the inner one as a further track.
//
// # Spare room
//
// Bytes that a container declares as no media, such as tags, pictures, padding and unknown chunks, are searched for recordings
// like all others. The rest is booked unless it is zeros, text, or compressed data where the container declares data. Bytes of
// a WAV file that are not samples of its format are damage.
//
// # Account
//
// The end that a header declares does not end a Source, because recorders that crash, join files or overflow 32 bits leave
// false sizes. Open decodes audio behind the declared end. Audio that it cannot decode is booked: [AccountOf] returns an
// [Account] in which every byte of the file is read, damaged or unread for a [Reason], with the time that it stands for.
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
