package encode

// Format describes the audio that a Source returns.
type Format struct {
	Rate      int    // Hz, 1,000 to 192,000
	Channels  int    // interleaved, at least 1
	Container string // "wav", "mp3", "ogg", or the name that ffmpeg uses
	Codec     string // "pcm_s16le", "pcm_alaw", "mp3", "opus", ...
}

// Source is a stream of decoded PCM. It is not safe for concurrent use.
type Source interface {
	// Format returns the format of the samples. It is constant over the life of the Source.
	Format() Format
	// Read fills dst with whole frames of interleaved samples, nominally within -1..1. 16-bit PCM is divided by 32,768,
	// so that [ToInt16] restores it bit for bit. Read returns the number of samples written, which is a multiple of
	// Channels. dst must hold at least one frame. At the end Read returns 0, io.EOF. Samples that were decoded before an
	// error are returned before the error.
	Read(dst []float32) (n int, err error)
	// Close closes the file and ends the decoding program if there is one. Further calls do nothing.
	Close() error
}

// Track is an audio track of a recording. Its channels follow those of the track before it.
type Track struct {
	Channels int
	Name     string // title or language, or empty
}

// TracksOf returns the tracks of src in the order of their channels. Their names are final once Read returned samples.
func TracksOf(src Source) []Track {
	if t, ok := src.(interface{ Tracks() []Track }); ok {
		return t.Tracks()
	}
	return []Track{{Channels: src.Format().Channels}}
}
