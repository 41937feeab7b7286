package encode

// Format describes the audio of a Source as it is handed out.
type Format struct {
	Rate      int    // Hz, 8,000 to 192,000
	Channels  int    // interleaved, at least 1
	Container string // "wav", "mp3", "ogg", or what ffmpeg calls it
	Codec     string // "pcm_s16le", "pcm_alaw", "mp3", "opus", ...
}

// Source is a stream of decoded PCM. It is not safe for concurrent use.
type Source interface {
	// Format does not change while the stream is read.
	Format() Format
	// Read fills dst with whole frames of interleaved samples, nominally within -1..1 (16-bit PCM is divided by 32,768,
	// so that it survives the way back to 16 bits bit for bit). It returns how many samples, not frames, were written,
	// always a multiple of Channels; dst must hold at least one frame. At the end it returns 0, io.EOF. What was decoded
	// before an error is handed out before the error is.
	Read(dst []float32) (n int, err error)
	// Close frees the file, and ends the decoding program if there is one. It may be called more than once.
	Close() error
}
