package encode

import (
	"fmt"
	"io"
)

// WAV is what [WriteWAV] writes, in memory.
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
