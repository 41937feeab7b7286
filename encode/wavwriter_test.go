package encode_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/encode"
)

// memory is a file in memory that counts what is done to it.
type memory struct {
	b      []byte
	at     int64
	writes int
	synced bool
}

func (m *memory) Write(p []byte) (int, error) {
	m.writes++
	if grow := int(m.at) + len(p) - len(m.b); grow > 0 {
		m.b = append(m.b, make([]byte, grow)...)
	}
	copy(m.b[m.at:], p)
	m.at += int64(len(p))
	return len(p), nil
}

func (m *memory) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		m.at = offset
	case io.SeekCurrent:
		m.at += offset
	case io.SeekEnd:
		m.at = int64(len(m.b)) + offset
	}
	return m.at, nil
}

func (m *memory) Sync() error { m.synced = true; return nil }

// canonical is the 44-byte header as the RIFF specification lays it out.
func canonical(rate, samples int) []byte {
	var b bytes.Buffer
	b.WriteString("RIFF")
	binary.Write(&b, binary.LittleEndian, uint32(36+2*samples))
	b.WriteString("WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16)} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	binary.Write(&b, binary.LittleEndian, uint32(2*samples))
	return b.Bytes()
}

func ramp(n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(i * 7919)
	}
	return pcm
}

func TestWriteWAVByteForByte(t *testing.T) {
	for _, n := range []int{1, 2, 4095, 4096, 4097, 100_000} {
		var m memory
		pcm := ramp(n)
		if err := encode.WriteWAV(&m, 16000, pcm); err != nil {
			t.Fatal(err)
		}
		if want := append(canonical(16000, n), bytesOf(pcm)...); !bytes.Equal(m.b, want) {
			t.Errorf("%d samples: file differs from the specification", n)
		}
		if m.at != int64(len(m.b)) {
			t.Errorf("%d samples: left at %d of %d", n, m.at, len(m.b))
		}
		if m.synced {
			t.Error("the file was synced")
		}
	}
}

func TestWriteWAVToFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clip.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	pcm := ramp(16000)
	if err := encode.WriteWAV(f, 16000, pcm); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	probe := string(run(t, nil, "ffprobe", "-v", "error", "-show_entries",
		"stream=codec_name,sample_rate,channels,duration", "-of", "csv=p=0", path))
	if want := "pcm_s16le,16000,1,1.000000"; strings.TrimSpace(probe) != want {
		t.Errorf("ffprobe sees %q, want %q", probe, want)
	}
	if got := ffmpegPCM(t, path); !equal16(got, pcm) {
		t.Error("ffmpeg reads other samples than were written")
	}
	if out := run(t, nil, "sox", path, "-n", "stat"); len(out) != 0 {
		t.Errorf("sox prints %q", out)
	}
}

func TestWriteWAVIsBelowTenMegabytes(t *testing.T) {
	n := encode.Fit(16000)
	var m memory
	if err := encode.WriteWAV(&m, 16000, make([]int16, n)); err != nil {
		t.Fatal(err)
	}
	if len(m.b) >= encode.MaxBytes {
		t.Errorf("the longest clip has %d bytes, must be below %d", len(m.b), encode.MaxBytes)
	}
	if len(m.b)+2 < encode.MaxBytes {
		t.Errorf("Fit is %d, a longer clip would fit", n)
	}
	m = memory{}
	err := encode.WriteWAV(&m, 16000, make([]int16, n+1))
	if !errors.Is(err, encode.ErrTooLong) {
		t.Errorf("one sample more gives %v", err)
	}
	if m.writes != 0 {
		t.Error("something was written before the size was checked")
	}
}

func TestWriteWAVRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		rate, n int
		at      int64
	}{
		"rate 0": {0, 1, 0}, "rate too high": {192_001, 1, 0}, "rate negative": {-8000, 1, 0}, "empty": {8000, 0, 0},
		"not at the start": {8000, 1, 5},
	} {
		m := memory{at: c.at, b: make([]byte, c.at)}
		if err := encode.WriteWAV(&m, c.rate, make([]int16, c.n)); err == nil {
			t.Errorf("%s: no error", name)
		}
		if m.writes != 0 {
			t.Errorf("%s: something was written", name)
		}
	}
	if encode.Fit(0) != 0 || encode.Fit(192_001) != 0 {
		t.Error("Fit is not 0 for a rate that is refused")
	}
}

// full gives an error after so many bytes, as a full disk does.
type full struct {
	memory
	room int
}

func (f *full) Write(p []byte) (int, error) {
	if len(f.b)+len(p) > f.room {
		return 0, os.ErrDeadlineExceeded
	}
	return f.memory.Write(p)
}

func TestWriteWAVReportsEveryWriteError(t *testing.T) {
	for _, room := range []int{0, 10, 44, 32 << 10, 190_000} {
		err := encode.WriteWAV(&full{room: room}, 8000, make([]int16, 100_000))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

func TestToInt16(t *testing.T) {
	nan := float32(math.NaN())
	in := []float32{0, 1, -1, 0.99999, 2, -2, 1.0 / 32768, 1.4 / 32768, 1.5 / 32768, -1.5 / 32768, -0.4 / 32768, nan,
		float32(math.Inf(1)), float32(math.Inf(-1)), -32768.4 / 32768}
	want := []int16{0, 32767, -32768, 32767, 32767, -32768, 1, 1, 2, -2, 0, 0, 32767, -32768, -32768}
	got := make([]int16, len(in))
	clipped := encode.ToInt16(got, in)
	for i := range in {
		if got[i] != want[i] {
			t.Errorf("%v gives %d, want %d", in[i], got[i], want[i])
		}
	}
	if clipped != 7 { // 1, 0.99999 (32,767.67), 2, -2, NaN and both infinities
		t.Errorf("clipped = %d, want 7", clipped)
	}
}

func TestInt16RoundTripIsExact(t *testing.T) {
	pcm := make([]int16, 65536)
	for i := range pcm {
		pcm[i] = int16(i - 32768)
	}
	x := make([]float32, len(pcm))
	encode.ToFloat32(x, pcm)
	back := make([]int16, len(pcm))
	if n := encode.ToInt16(back, x); n != 0 {
		t.Errorf("%d samples clipped", n)
	}
	if !equal16(back, pcm) {
		t.Error("16 bits do not survive")
	}
}

func TestChannels(t *testing.T) {
	src := []float32{1, 10, 2, 20, 3, 30, 4} // the last frame is not whole
	if got := encode.Deinterleave(nil, src, 2, 0); !equal32(got, []float32{1, 2, 3}) {
		t.Errorf("left is %v", got)
	}
	if got := encode.Deinterleave([]float32{9}, src, 2, 1); !equal32(got, []float32{9, 10, 20, 30}) {
		t.Errorf("right is %v", got)
	}
	if got := encode.Downmix(nil, src, 2); !equal32(got, []float32{5.5, 11, 16.5}) {
		t.Errorf("mix is %v", got)
	}
	if got := encode.Downmix(nil, src, 1); !equal32(got, src) {
		t.Errorf("mono is %v", got)
	}
}

func equal16(a, b []int16) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func equal32(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestWAVInMemoryIsTheSame(t *testing.T) {
	pcm := make([]int16, 40_000)
	for i := range pcm {
		pcm[i] = int16(i * 7919)
	}
	var m memory
	if err := encode.WriteWAV(&m, 16000, pcm); err != nil {
		t.Fatal(err)
	}
	got, err := encode.WAV(16000, pcm)
	if err != nil || !bytes.Equal(got, m.b) || !bytes.Equal(got[:44], canonical(16000, len(pcm))) || len(got) != 44+2*len(pcm) {
		t.Errorf("%d bytes of %d, %v", len(got), len(m.b), err)
	}
	if _, err := encode.WAV(16000, nil); err == nil {
		t.Error("an empty clip was written")
	}
	if _, err := encode.WAV(8000, make([]int16, encode.Fit(8000)+1)); !errors.Is(err, encode.ErrTooLong) {
		t.Error(err)
	}
}
