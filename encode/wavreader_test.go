package encode_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"callscreen/encode"
	"callscreen/internal/testkit"
)

// chunk makes a RIFF chunk with its padding.
func chunk(id string, body []byte) []byte {
	out := binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body)))
	out = append(out, body...)
	if len(body)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

// fmtChunk makes the 16 bytes of a fmt chunk.
func fmtChunk(tag, channels, rate, bits int) []byte {
	align := channels * ((bits + 7) / 8)
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*align))
	b = binary.LittleEndian.AppendUint16(b, uint16(align))
	return binary.LittleEndian.AppendUint16(b, uint16(bits))
}

// riff wraps chunks.
func riff(chunks ...[]byte) []byte {
	body := append([]byte("WAVE"), bytes.Join(chunks, nil)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func readWAV(t testing.TB, b []byte) (encode.Format, []float32, error) {
	t.Helper()
	r, err := encode.NewWAVReader(onlyReader{bytes.NewReader(b)})
	if err != nil {
		return encode.Format{}, nil, err
	}
	defer r.Close()
	x, err := readAll(t, r)
	checkWhole(t, r, len(b))
	return r.Format(), x, err
}

// onlyReader hides everything but Read, as a pipe does.
type onlyReader struct{ io.Reader }

func TestWAVFixtures(t *testing.T) {
	for _, c := range []struct {
		file, codec    string
		rate, channels int
	}{
		{"pcm_u8.wav", "pcm_u8", 8000, 1}, {"pcm_s16.wav", "pcm_s16le", 16000, 1}, {"pcm_s24.wav", "pcm_s24le", 16000, 1},
		{"pcm_s32.wav", "pcm_s32le", 8000, 1}, {"pcm_f32.wav", "pcm_f32le", 8000, 1}, {"pcm_f64.wav", "pcm_f64le", 8000, 1},
		{"alaw.wav", "pcm_alaw", 8000, 1}, {"mulaw.wav", "pcm_mulaw", 8000, 1},
		{"extensible_4ch_s24.wav", "pcm_s24le", 8000, 4}, {"piped_size_ffffffff.wav", "pcm_s16le", 16000, 1},
	} {
		t.Run(c.file, func(t *testing.T) {
			format, x, err := readWAV(t, load(t, "formats/"+c.file))
			if err != nil {
				t.Fatal(err)
			}
			if want := (encode.Format{Rate: c.rate, Channels: c.channels, Container: "wav", Codec: c.codec}); format != want {
				t.Errorf("format is %+v, want %+v", format, want)
			}
			raw := run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", fixture("formats/"+c.file),
				"-f", "f32le", "-c:a", "pcm_f32le", "-")
			if len(raw) != 4*len(x) {
				t.Fatalf("%d samples, ffmpeg reads %d", len(x), len(raw)/4)
			}
			for i := range x {
				if want := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); x[i] != want {
					t.Fatalf("sample %d is %v, ffmpeg reads %v", i, x[i], want)
				}
			}
		})
	}
}

func TestWAVPipedSizeReadsAll(t *testing.T) {
	// Known bug of go-audio/wav v1.1.0: a data size of 0xffffffff gives 0 samples and no error.
	_, plain, err := readWAV(t, load(t, "formats/pcm_s16.wav"))
	if err != nil {
		t.Fatal(err)
	}
	_, piped, err := readWAV(t, load(t, "formats/piped_size_ffffffff.wav"))
	if err != nil {
		t.Fatal(err)
	}
	if len(plain) == 0 || !equal32(plain, piped) {
		t.Errorf("%d samples from a pipe, %d from a file", len(piped), len(plain))
	}
}

func TestWAVUnknownSizes(t *testing.T) {
	pcm := bytesOf(ramp(1001))
	for name, c := range map[string]struct{ riff, data uint32 }{
		"ffmpeg": {0xffffffff, 0xffffffff}, "gstreamer": {0, 0}, "sox": {0x7ffff024, 0x7ffff000},
		"signed": {0x7fffffff, 0x7fffffff}, "killed go-audio": {42, 42}, "killed before the data size": {36, 0},
	} {
		b := riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("data", pcm))
		binary.LittleEndian.PutUint32(b[4:], c.riff)
		binary.LittleEndian.PutUint32(b[40:], c.data)
		_, x, err := readWAV(t, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(x) != 1001 {
			t.Errorf("%s: %d samples, want 1001", name, len(x))
		}
	}
}

func TestWAVEmptyDataWithTrailerIsEmpty(t *testing.T) {
	_, x, err := readWAV(t, riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("data", nil), chunk("LIST", make([]byte, 60))))
	if err != nil || len(x) != 0 {
		t.Errorf("%d samples, %v; the LIST chunk is no audio", len(x), err)
	}
}

func TestWAVChunksAroundTheAudio(t *testing.T) {
	pcm := ramp(500)
	b := riff(chunk("JUNK", make([]byte, 27)), chunk("bext", make([]byte, 603)),
		chunk("fmt ", append(fmtChunk(1, 2, 44100, 16), 0, 0)), chunk("fact", make([]byte, 4)), chunk("odd ", []byte{1}),
		chunk("data", bytesOf(pcm)), chunk("LIST", make([]byte, 99)))
	format, x, err := readWAV(t, b)
	if err != nil {
		t.Fatal(err)
	}
	if format.Channels != 2 || format.Rate != 44100 {
		t.Errorf("format is %+v", format)
	}
	if !equal16(to16(t, x), pcm) {
		t.Error("samples differ")
	}
}

func TestWAVRF64(t *testing.T) {
	pcm := ramp(300)
	ds64 := make([]byte, 28)
	binary.LittleEndian.PutUint64(ds64[8:], uint64(2*len(pcm)))
	b := riff(chunk("ds64", ds64), chunk("fmt ", fmtChunk(1, 1, 16000, 16)), chunk("data", bytesOf(pcm)), chunk("LIST", make([]byte, 40)))
	copy(b, "RF64\xff\xff\xff\xff")
	at := bytes.Index(b, []byte("data"))
	binary.LittleEndian.PutUint32(b[at+4:], 0xffffffff)
	_, x, err := readWAV(t, b)
	if err != nil || !equal16(to16(t, x), pcm) {
		t.Errorf("%d samples, want %d, %v", len(x), len(pcm), err)
	}
}

func TestWAVExtensibleSubFormats(t *testing.T) {
	guid := "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
	extensible := func(tag, bits int, guid string) []byte {
		f := append(fmtChunk(0xfffe, 1, 8000, bits), 22, 0, byte(bits), 0, 0, 0, 0, 0, byte(tag), 0)
		return append(f, guid...)
	}
	// Known bug of go-audio/wav v1.1.0: extensible float is read as integers, the sub-format is not looked at.
	body := binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.25))
	format, x, err := readWAV(t, riff(chunk("fmt ", extensible(3, 32, guid)), chunk("data", body)))
	if err != nil || format.Codec != "pcm_f32le" || !equal32(x, []float32{0.25}) {
		t.Errorf("float: %+v %v %v", format, x, err)
	}
	format, x, err = readWAV(t, riff(chunk("fmt ", extensible(7, 8, guid)), chunk("data", []byte{0xff, 0x00})))
	if err != nil || format.Codec != "pcm_mulaw" || !equal16(to16(t, x), []int16{0, -32124}) {
		t.Errorf("mu-law: %+v %v %v", format, x, err)
	}
	_, _, err = readWAV(t, riff(chunk("fmt ", extensible(1, 16, strings.Repeat("x", 14))), chunk("data", body)))
	if !isUnsupported(err) {
		t.Errorf("an unknown GUID gives %v", err)
	}
}

func TestWAVFloatIsNotBitPatterns(t *testing.T) {
	// Known bug of go-audio/wav v1.1.0: float samples come out as their bit patterns.
	var body []byte
	for _, v := range []float64{0.5, -0.125, math.NaN(), math.Inf(1), 1e30} {
		body = binary.LittleEndian.AppendUint32(body, math.Float32bits(float32(v)))
	}
	r, err := encode.NewWAVReader(bytes.NewReader(riff(chunk("fmt ", fmtChunk(3, 1, 8000, 32)), chunk("data", body))))
	if err != nil {
		t.Fatal(err)
	}
	x, err := readAll(t, r)
	if err != nil || !equal32(x, []float32{0.5, -0.125, 0, 0, 0}) {
		t.Errorf("%v, %v", x, err)
	}
	if d := encode.DamageOf(r); d.Lost != 3 || d.Events != 1 {
		t.Errorf("damage is %+v, three samples are no numbers", d)
	}
}

func TestWAVCompandedIsNotCodes(t *testing.T) {
	// Known bug of go-audio/wav v1.1.0: A-law and mu-law codes are handed out as samples.
	for _, c := range []struct {
		tag  int
		want int16
	}{{6, -5504}, {7, -32124}} {
		_, x, err := readWAV(t, riff(chunk("fmt ", fmtChunk(c.tag, 1, 8000, 8)), chunk("data", []byte{0, 0})))
		if err != nil || len(x) != 2 || to16(t, x)[0] != c.want {
			t.Errorf("tag %d: code 0 gives %v, want %d (%v)", c.tag, x, c.want, err)
		}
	}
}

func TestWAVTruncatedIsVisible(t *testing.T) {
	b := riff(chunk("fmt ", fmtChunk(1, 2, 8000, 16)), chunk("data", bytesOf(ramp(20_000))))
	for _, cut := range []int{1, 2, 3, 4, 1000, 39_999, 40_000} {
		_, x, err := readWAV(t, b[:len(b)-cut])
		if !errors.Is(err, encode.ErrTruncated) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes missing: error is %v", cut, err)
		}
		want := (40_000 - cut) / 4 * 2
		if len(x) != want || !equal16(to16(t, x), ramp(20_000)[:want]) {
			t.Errorf("%d bytes missing: %d samples, want %d", cut, len(x), want)
		}
	}
}

func TestWAVHeaderDefects(t *testing.T) {
	lying := func(id string) []byte {
		return append([]byte(id), 0xf0, 0xff, 0xff, 0xff)
	}
	tail := make([]byte, 100)
	for name, b := range map[string][]byte{
		// Known bugs of go-audio/wav v1.1.0: the first two do not return, the third allocates 4.3 GB.
		"fmt chunk of 0xfffffff0 bytes":      riff(lying("fmt "), fmtChunk(1, 1, 8000, 16), tail),
		"LIST chunk of 0xfffffff0 bytes":     riff(lying("LIST"), tail),
		"LIST sub-chunk of 0xfffffff0 bytes": riff(chunk("LIST", append([]byte("INFO"), lying("INAM")...))),
		"no fmt chunk":                       riff(chunk("data", tail)),
		"no data chunk":                      riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16))),
		"short fmt chunk":                    riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16)[:12]), chunk("data", tail)),
		"rate 0":                             riff(chunk("fmt ", fmtChunk(1, 1, 0, 16)), chunk("data", tail)),
		"255 channels of 64 bits":            riff(chunk("fmt ", fmtChunk(3, 255, 8000, 64)), chunk("data", tail)),
		"0 channels":                         riff(chunk("fmt ", fmtChunk(1, 0, 8000, 16)), chunk("data", tail)),
		"0 bits":                             riff(chunk("fmt ", fmtChunk(1, 1, 8000, 0)), chunk("data", tail)),
		"only RIFF":                          []byte("RIFF"),
		"not WAVE":                           append([]byte("RIFF\x20\x00\x00\x00AVI "), tail...),
		"chunks without end": riff(
			bytes.Repeat(chunk("JUNK", nil), 5000),
			chunk("fmt ", fmtChunk(1, 1, 8000, 16)),
			chunk("data", tail),
		),
		"frame size too small for the channels":  riff(chunk("fmt ", append(fmtChunk(1, 2, 8000, 8)[:14], 16, 0)), chunk("data", tail)),
		"extensible without the sub-format GUID": riff(chunk("fmt ", fmtChunk(0xfffe, 1, 8000, 16)), chunk("data", tail)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, err := readWAV(t, b); err == nil {
			t.Errorf("%s: no error", name)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
}

func isUnsupported(err error) bool {
	var u *encode.UnsupportedError
	return errors.As(err, &u)
}

func TestWAVRefusesCodecsByName(t *testing.T) {
	for tag, name := range map[int]string{2: "Microsoft ADPCM", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x55: "MP3", 0x4242: "0x4242"} {
		_, _, err := readWAV(t, riff(chunk("fmt ", fmtChunk(tag, 1, 8000, 4)), chunk("data", make([]byte, 64))))
		if !isUnsupported(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("tag %#x: %v", tag, err)
		}
	}
	b := riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("data", make([]byte, 64)))
	copy(b, "RIFX")
	if _, _, err := readWAV(t, b); !isUnsupported(err) {
		t.Errorf("RIFX: %v", err)
	}
}

func TestWAVAnyBlockSize(t *testing.T) {
	for _, file := range []string{"pcm_s24.wav", "extensible_4ch_s24.wav", "mulaw.wav", "pcm_f64.wav"} {
		b := load(t, "formats/"+file)
		_, want, err := readWAV(t, b)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for _, read := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader, iotest.HalfReader} {
			r, err := encode.NewWAVReader(read(bytes.NewReader(b)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readBlocks(t, r, func() int { return 1 + rng.IntN(3000) })
			if err != nil || !equal32(got, want) {
				t.Errorf("%s: samples depend on the size of the blocks (%v)", file, err)
			}
		}
	}
}

func TestWAVReadError(t *testing.T) {
	b := load(t, "formats/pcm_s16.wav")
	broken := errors.New("disk on fire")
	r, err := encode.NewWAVReader(io.MultiReader(bytes.NewReader(b[:10_044]), iotest.ErrReader(broken)))
	if err != nil {
		t.Fatal(err)
	}
	x, err := readAll(t, r)
	if !errors.Is(err, broken) || errors.Is(err, encode.ErrTruncated) {
		t.Errorf("error is %v", err)
	}
	if len(x) == 0 {
		t.Error("what came before the error is lost")
	}
}

func TestSourceClose(t *testing.T) {
	f, err := os.Open(fixture("formats/pcm_s16.wav"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := encode.NewWAVReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := r.Read(make([]float32, 10)); err == nil || err == io.EOF {
		t.Errorf("read after close gives %v", err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is still open: %v", err)
	}
}

func TestWAVReadDoesNotAllocate(t *testing.T) {
	b := riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("data", make([]byte, 4_000_000)))
	r, err := encode.NewWAVReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]float32, 160)
	if n := testing.AllocsPerRun(1000, func() { r.Read(buf) }); n != 0 {
		t.Errorf("%v allocations a block", n)
	}
}

func FuzzWAV(f *testing.F) {
	for _, name := range []string{"pcm_u8.wav", "alaw.wav", "extensible_4ch_s24.wav", "piped_size_ffffffff.wav", "pcm_f64.wav"} {
		f.Add(load(f, "formats/"+name)[:600])
	}
	f.Add(riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("data", make([]byte, 20))))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer testkit.Bounded(t)()
		r, err := encode.NewWAVReader(onlyReader{bytes.NewReader(b)})
		if err != nil {
			return
		}
		checkFormat(t, r.Format())
		x, _ := readAll(t, r)
		checkWhole(t, r, len(b))
		if len(x) > len(b) {
			t.Errorf("%d samples from %d bytes", len(x), len(b))
		}
		checkSamples(t, x)
	})
}

// checkFormat fails if a Source promises what it must not.
func checkFormat(t *testing.T, f encode.Format) {
	t.Helper()
	if f.Rate < 1000 || f.Rate > 192_000 || f.Channels < 1 || f.Container == "" || f.Codec == "" {
		t.Fatalf("format is %+v", f)
	}
}

// checkSamples fails if a sample is not a number.
func checkSamples(t *testing.T, x []float32) {
	t.Helper()
	for i, v := range x {
		if v != v || v > 1e6 || v < -1e6 {
			t.Fatalf("sample %d is %v", i, v)
		}
	}
}
