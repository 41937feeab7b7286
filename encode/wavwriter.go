package encode

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-audio/audio"
	"github.com/go-audio/wav"
)

// MaxBytes bounds the WAV files of [WriteWAV]: a file is strictly smaller.
const MaxBytes = 10_000_000

// ErrTooLong is wrapped by the error of [WriteWAV] when a clip does not fit below [MaxBytes].
var ErrTooLong = errors.New("clip is too long for a WAV below 10,000,000 bytes")

const (
	wavHeaderBytes = 44 // RIFF header, 16-byte fmt chunk, head of the data chunk
	wavSizeOffset  = 40 // of the data chunk's size

	minRate = 8_000
	maxRate = 192_000
)

// Fit returns the length in samples of the longest mono 16-bit clip whose WAV file is smaller than [MaxBytes]. It returns
// 0 for a rate (Hz) that [WriteWAV] refuses.
func Fit(rate int) int {
	if rate < minRate || rate > maxRate {
		return 0
	}
	return (MaxBytes - 1 - wavHeaderBytes) / 2
}

// WriteWAV writes mono 16-bit PCM at the given rate (Hz, 8,000 to 192,000) as a WAV file to w, which must be empty and
// at its start. The size is checked before a byte is written: a clip longer than [Fit] returns an error that wraps
// [ErrTooLong]. An empty clip is an error. WriteWAV leaves w at its end and neither syncs nor closes it.
func WriteWAV(w io.WriteSeeker, rate int, pcm []int16) error {
	switch {
	case rate < minRate || rate > maxRate:
		return fmt.Errorf("write wav: rate is %d Hz, must be %d to %d", rate, minRate, maxRate)
	case len(pcm) == 0:
		return errors.New("write wav: clip is empty")
	case len(pcm) > Fit(rate):
		return fmt.Errorf("write wav: %d samples, at most %d: %w", len(pcm), Fit(rate), ErrTooLong)
	}
	if at, err := w.Seek(0, io.SeekCurrent); err != nil {
		return fmt.Errorf("write wav: %w", err)
	} else if at != 0 {
		return fmt.Errorf("write wav: file is at offset %d, must be at its start", at)
	}

	out := &bufferedSeeker{w: w, buf: bufio.NewWriterSize(w, 32<<10)}
	// NewEncoder allocates a minute of audio at the given depth, so the depth is set afterwards.
	enc := wav.NewEncoder(out, rate, 0, 1, 1)
	enc.BitDepth = 16
	format := &audio.Format{NumChannels: 1, SampleRate: rate}
	if err := enc.Write(&audio.IntBuffer{Format: format, SourceBitDepth: 16}); err != nil {
		return fmt.Errorf("write wav header: %w", err)
	}
	// Encoder.Write allocates once per sample. AddLE writes the same bytes without it.
	var block [8 << 10]byte
	for rest := pcm; len(rest) > 0; {
		n := min(len(rest), len(block)/2)
		for i, v := range rest[:n] {
			binary.LittleEndian.PutUint16(block[2*i:], uint16(v))
		}
		if err := enc.AddLE(block[:2*n]); err != nil {
			return fmt.Errorf("write wav: %w", err)
		}
		rest = rest[n:]
	}
	if err := enc.Close(); err != nil {
		return fmt.Errorf("write wav header: %w", err)
	}
	// AddLE does not count frames, so Close wrote a data size of 0.
	if _, err := out.Seek(wavSizeOffset, io.SeekStart); err != nil {
		return fmt.Errorf("write wav header: %w", err)
	}
	if err := enc.AddLE(uint32(2 * len(pcm))); err != nil {
		return fmt.Errorf("write wav header: %w", err)
	}
	if _, err := out.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("write wav: %w", err)
	}
	return nil
}

// bufferedSeeker gathers the many small writes of the encoder. It also hides the type of w, because the encoder syncs an
// *os.File.
type bufferedSeeker struct {
	w   io.WriteSeeker
	buf *bufio.Writer
}

func (b *bufferedSeeker) Write(p []byte) (int, error) { return b.buf.Write(p) }

func (b *bufferedSeeker) Seek(offset int64, whence int) (int64, error) {
	if err := b.buf.Flush(); err != nil {
		return 0, err
	}
	return b.w.Seek(offset, whence)
}

// WAV returns the file that [WriteWAV] writes.
func WAV(rate int, pcm []int16) ([]byte, error) {
	m := &memory{b: make([]byte, 0, wavHeaderBytes+2*len(pcm))}
	if err := WriteWAV(m, rate, pcm); err != nil {
		return nil, err
	}
	return m.b, nil
}

// memory is a file in memory.
type memory struct {
	b  []byte
	at int
}

func (m *memory) Write(p []byte) (int, error) {
	n := copy(m.b[m.at:], p)
	m.b = append(m.b, p[n:]...)
	m.at += len(p)
	return len(p), nil
}

func (m *memory) Seek(offset int64, whence int) (int64, error) {
	at := offset
	switch whence {
	case io.SeekCurrent:
		at += int64(m.at)
	case io.SeekEnd:
		at += int64(len(m.b))
	}
	if at < 0 || at > int64(len(m.b)) {
		return 0, fmt.Errorf("seek to byte %d of %d", at, len(m.b))
	}
	m.at = int(at)
	return at, nil
}
