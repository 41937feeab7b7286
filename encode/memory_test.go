package encode_test

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"callscreen/encode"
)

// endless gives head once, and body over and over until it has given n bytes.
type endless struct {
	head, body []byte
	at         int
	left       int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.left)]
	n := 0
	if len(e.head) > 0 {
		n = copy(p, e.head)
		e.head = e.head[n:]
	}
	for n < len(p) {
		k := copy(p[n:], e.body[e.at:])
		n += k
		e.at = (e.at + k) % len(e.body)
	}
	e.left -= int64(n)
	return n, nil
}

// TestMemoryDoesNotGrow reads hours of audio and looks at the heap after a tenth and at the end.
func TestMemoryDoesNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("much arithmetic, and no goroutine")
	}
	wav := load(t, "formats/piped_size_ffffffff.wav")
	mp3 := load(t, "formats/48000_stereo_96k.mp3")
	at := frameOffsets(t, mp3)
	for name, c := range map[string]struct {
		open   func() (encode.Source, error)
		frames int64
	}{
		"WAV, two hours": {func() (encode.Source, error) {
			return encode.NewWAVReader(&endless{head: wav[:100], body: wav[100:5100], left: 2 * 3600 * 32000})
		}, 2 * 3600 * 16000},
		"MP3, one minute": {func() (encode.Source, error) {
			return encode.NewMP3Reader(&endless{body: mp3[at[1]:at[61]], left: 60 * 12000})
		}, 60 * 48000},
		"junk that looks like Ogg, one minute": {func() (encode.Source, error) {
			return encode.NewOpusReader(&endless{
				head: load(t, "formats/mono_24k.opus")[:1000],
				body: []byte("OggS\x00\x00abcdefghijk"),
				left: 60 * 8000,
			})
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := c.open()
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			rate := src.Format().Rate
			rs, err := encode.NewResampler(rate, 16000)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]float32, 4096)
			var mono, out []float32
			var seen int64
			var early uint64
			for {
				n, err := src.Read(buf)
				mono = encode.Downmix(mono[:0], buf[:n], src.Format().Channels)
				out = rs.Process(out[:0], mono)
				seen += int64(len(mono))
				if early == 0 && seen > c.frames/10 {
					early = heap()
				}
				if errors.Is(err, io.EOF) || errors.Is(err, encode.ErrTruncated) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if late := heap(); late > early+1<<20 {
				t.Errorf("the heap has grown from %d to %d bytes", early, late)
			}
			if seen < c.frames*99/100 {
				t.Errorf("%d frames, want %d", seen, c.frames)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
