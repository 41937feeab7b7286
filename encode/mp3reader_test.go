package encode_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"callscreen/encode"
	"callscreen/internal/testkit"
)

// readMP3 decodes from a reader that cannot seek.
func readMP3(t testing.TB, b []byte) (*encode.MP3Reader, []int16, error) {
	t.Helper()
	r, err := encode.NewMP3Reader(onlyReader{bytes.NewReader(b)})
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	x, err := readAll(t, r)
	checkWhole(t, r, len(b))
	return r, to16(t, x), err
}

// frameOffsets are the frames of an undamaged file of one bit rate, found independently of the reader.
func frameOffsets(t *testing.T, b []byte) []int {
	t.Helper()
	at := bytes.Index(b, []byte{0xff, 0xfb})
	if at < 0 {
		t.Fatal("no MPEG-1 frame")
	}
	rate := [3]int{44100, 48000, 32000}[b[at+2]>>2&3]
	var out []int
	for at+4 <= len(b) && b[at] == 0xff && b[at+1] == 0xfb {
		out = append(out, at)
		kbit := [16]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}[b[at+2]>>4]
		at += 144000*kbit/rate + int(b[at+2]>>1&1)
	}
	return out
}

func TestMP3EqualsFFmpeg(t *testing.T) {
	for _, c := range []struct {
		file           string
		rate, channels int
	}{
		{"44100_64k.mp3", 44100, 1}, {"48000_stereo_96k.mp3", 48000, 2},
		// Known bug of go-mp3 v0.3.4: MPEG-2 at 22,050 Hz and 32 kbit/s decodes to noise.
		{"22050_32k_garbage_in_gomp3.mp3", 22050, 1},
	} {
		t.Run(c.file, func(t *testing.T) {
			r, got, err := readMP3(t, load(t, "formats/"+c.file))
			if err != nil {
				t.Fatal(err)
			}
			// Known bug of go-mp3 v0.3.4: mono comes out as two channels.
			if want := (encode.Format{Rate: c.rate, Channels: c.channels, Container: "mp3", Codec: "mp3"}); r.Format() != want {
				t.Errorf("format is %+v, want %+v", r.Format(), want)
			}
			if d := encode.DamageOf(r); d != (encode.Damage{}) {
				t.Errorf("damage is %+v", d)
			}
			// Known bug of go-mp3 v0.3.4: the info frame is decoded as audio, and nothing is trimmed. The same length and
			// phase as ffmpeg's shows that both are right.
			want := ffmpegPCM(t, fixture("formats/"+c.file))
			if len(got) != len(want) {
				t.Errorf("%d samples, ffmpeg decodes %d", len(got), len(want))
			}
			if db := snr(got, want); db < 60 {
				t.Errorf("%.1f dB against ffmpeg", db)
			}
		})
	}
}

// makeMP3 encodes the test clip.
func makeMP3(t testing.TB, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp3")
	all := append([]string{"-hide_banner", "-loglevel", "error", "-i", fixture("formats/pcm_s16.wav")}, args...)
	run(t, nil, "ffmpeg", append(all, path)...)
	return path
}

// mpg123PCM decodes a file to 16-bit PCM, trimmed as the LAME tag says.
func mpg123PCM(t testing.TB, path string) []int16 {
	t.Helper()
	return int16s(run(t, nil, "mpg123", "-q", "-e", "s16", "-s", path))
}

func TestMP3EveryRateAndBitRate(t *testing.T) {
	if testing.Short() {
		t.Skip("much arithmetic, and no goroutine")
	}
	for _, rate := range []int{48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025} {
		kbits := []int{32, 64, 320}
		if rate < 32000 {
			kbits = []int{16, 32, 64, 80}
		}
		if rate < 16000 {
			kbits = []int{16, 64}
		}
		for _, kbit := range kbits {
			for channels := 1; channels <= 2; channels++ {
				path := makeMP3(t, "-ar", fmt.Sprint(rate), "-ac", fmt.Sprint(channels), "-c:a", "libmp3lame", "-b:a", fmt.Sprintf("%dk", kbit))
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				r, got, err := readMP3(t, b)
				if err != nil {
					t.Errorf("%d Hz %d kbit/s x%d: %v", rate, kbit, channels, err)
					continue
				}
				if f := r.Format(); f.Rate != rate || f.Channels != channels {
					t.Errorf("format is %+v, want %d Hz x%d", f, rate, channels)
				}
				want := ffmpegPCM(t, path)
				db := snr(got, want)
				if rate == 24000 {
					// ffmpeg 5.1 puts the border between two scale factor bands at line 330, ISO 13818-3 at 332.
					db = snr(got, mpg123PCM(t, path))
				}
				if db < 50 || len(got) != len(want) {
					t.Errorf(
						"%d Hz %d kbit/s x%d: %.1f dB against ffmpeg, %d samples of %d, damage %+v",
						rate,
						kbit,
						channels,
						db,
						len(got),
						len(want),
						encode.DamageOf(r),
					)
				}
			}
		}
	}
}

func TestMP3VariableBitRate(t *testing.T) {
	path := makeMP3(t, "-ar", "44100", "-c:a", "libmp3lame", "-q:a", "4")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := readMP3(t, b)
	if db := snr(got, ffmpegPCM(t, path)); err != nil || db < 60 {
		t.Errorf("%.1f dB against ffmpeg, %v", db, err)
	}
}

func TestMP3DamagedHeaderCostsItsFrame(t *testing.T) {
	// Known bug of go-mp3 v0.3.4: a damaged header ends decoding.
	b := load(t, "formats/44100_64k.mp3")
	_, want, err := readMP3(t, b)
	if err != nil {
		t.Fatal(err)
	}
	at := frameOffsets(t, b)
	for name, damage := range map[string]func([]byte){
		"sync":     func(f []byte) { f[0] = 0 },
		"bit rate": func(f []byte) { f[2] = f[2]&0x0f | 0x90 },
		"rate":     func(f []byte) { f[2] ^= 0x08 },
		"layer":    func(f []byte) { f[1] ^= 0x04 },
	} {
		broken := bytes.Clone(b)
		damage(broken[at[40]:])
		r, got, err := readMP3(t, broken)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := encode.DamageOf(r)
		if d.Events < 1 || d.Lost < 1152 || d.Lost > 4*1152 {
			t.Errorf("%s: damage is %+v, one frame is broken and the next few may need it", name, d)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d samples, %d without the damage: positions moved", name, len(got), len(want))
		}
		// Audio before and well behind the damage is unchanged.
		cut := 39*1152 - 1105
		if !equal16(got[:cut], want[:cut]) {
			t.Errorf("%s: audio before the damage changed", name)
		}
		from := cut + 6*1152
		if db := snr(got[from:], want[from:]); db < 60 {
			t.Errorf("%s: audio behind the damage has %.1f dB", name, db)
		}
	}
}

func TestMP3MissingFramesKeepTheirTime(t *testing.T) {
	b := load(t, "formats/48000_stereo_96k.mp3")
	_, want, err := readMP3(t, b)
	if err != nil {
		t.Fatal(err)
	}
	at := frameOffsets(t, b)
	broken := bytes.Clone(b)
	clear(broken[at[50]:at[70]])
	r, got, err := readMP3(t, broken)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d samples, %d without the damage", len(got), len(want))
	}
	if d := encode.DamageOf(r); d.Events != 1 || d.Lost < 20*1152 || d.Lost > 24*1152 {
		t.Errorf("damage is %+v, 20 frames of %d samples are missing", d, 1152)
	}
	from := 2 * 76 * 1152
	if db := snr(got[from:], want[from:]); db < 60 {
		t.Errorf("audio behind the damage has %.1f dB", db)
	}
}

func TestMP3CutFromTheMiddleIsNotNoise(t *testing.T) {
	// The first frames of a cut need data that is not there; go-mp3 would decode them from the wrong place.
	b := load(t, "formats/44100_64k.mp3")
	_, whole, err := readMP3(t, b)
	if err != nil {
		t.Fatal(err)
	}
	at := frameOffsets(t, b)
	r, got, err := readMP3(t, b[at[61]:])
	if err != nil {
		t.Fatal(err)
	}
	start := 60*1152 - 1105 // frame 0 is the info frame
	lost := int(encode.DamageOf(r).Lost)
	for i, v := range got[:lost] {
		if v > 300 || v < -300 {
			t.Fatalf("sample %d of %d that cannot be known is %d", i, lost, v)
		}
	}
	if db := snr(got[lost+1152:], whole[start+lost+1152:]); db < 60 {
		t.Errorf("%.1f dB behind the first frames", db)
	}
}

func TestMP3Junk(t *testing.T) {
	b := load(t, "formats/44100_64k.mp3")
	_, want, err := readMP3(t, b)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	junk := make([]byte, 5000)
	for i := range junk {
		junk[i] = byte(rng.Uint32())
	}
	tag := func(size int) []byte {
		return []byte{'I', 'D', '3', 4, 0, 0, byte(size >> 21 & 0x7f), byte(size >> 14 & 0x7f), byte(size >> 7 & 0x7f), byte(size & 0x7f)}
	}
	id3v1 := append([]byte("TAG"), make([]byte, 125)...)
	for name, in := range map[string][]byte{
		// Known bug of go-mp3 v0.3.4: junk without a tag before the first frame is an error.
		"leading junk": append(bytes.Clone(junk), b...),
		"ID3 tag":      append(append(tag(3000), make([]byte, 3000)...), b...),
		"two tags":     bytes.Join([][]byte{tag(100), make([]byte, 100), tag(50), make([]byte, 50), b}, nil),
		"ID3v1":        append(bytes.Clone(b), id3v1...),
		"APE tag":      append(bytes.Clone(b), "APETAGEX\xd0\x07\x00\x00"...),
	} {
		r, got, err := readMP3(t, in)
		if err != nil || !equal16(got, want) {
			t.Errorf("%s: %d samples, want %d, %v", name, len(got), len(want), err)
			continue
		}
		if d := encode.DamageOf(r); d.Events != 0 {
			t.Errorf("%s: damage is %+v", name, d)
		}
	}

	// A tag whose size is a lie, where the reader can go back.
	r, err := encode.NewMP3Reader(bytes.NewReader(append(tag(200<<20), b...)))
	if err != nil {
		t.Fatal(err)
	}
	x, err := readAll(t, r)
	if err != nil || !equal16(to16(t, x), want) {
		t.Errorf("false ID3 size: %d samples, want %d, %v", len(x), len(want), err)
	}
	if _, _, err := readMP3(t, append(tag(200<<20), b...)); !errors.Is(err, encode.ErrTruncated) {
		t.Errorf("false ID3 size in a pipe: %v", err)
	}
}

func TestMP3Refuses(t *testing.T) {
	// Known bug of go-mp3 v0.3.4: MPEG-2.5 and free format are not supported.
	if _, _, err := readMP3(t, load(t, "formats/8000_mpeg25.mp3")); !isUnsupported(err) {
		t.Errorf("8,000 Hz: %v", err)
	}
	free := bytes.Repeat(append([]byte{0xff, 0xfb, 0x00, 0xc0}, make([]byte, 400)...), 20)
	if _, _, err := readMP3(t, free); !isUnsupported(err) {
		t.Errorf("free format: %v", err)
	}
	b := load(t, "formats/48000_stereo_96k.mp3")
	for _, at := range frameOffsets(t, b) {
		b[at+3] = b[at+3]&0x0f | 0x50
	}
	if _, _, err := readMP3(t, b); !isUnsupported(err) {
		t.Errorf("intensity stereo: %v", err)
	}
	for name, b := range map[string][]byte{
		"empty":      nil,
		"zeros":      make([]byte, 100_000),
		"one byte":   {0xff},
		"only a tag": []byte("ID3\x04\x00\x00\x00\x00\x00\x00"),
	} {
		if _, _, err := readMP3(t, b); !errors.Is(err, encode.ErrNotAudio) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMP3TruncatedIsVisible(t *testing.T) {
	b := load(t, "formats/44100_64k.mp3")
	at := frameOffsets(t, b)
	for _, cut := range []int{at[60], at[60] + 50, at[60] + 2} {
		_, got, err := readMP3(t, b[:cut])
		if !errors.Is(err, encode.ErrTruncated) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		if want := 59*1152 - 1105; len(got) < want {
			t.Errorf("cut at %d: %d samples, at least %d are there", cut, len(got), want)
		}
	}
}

func TestMP3AnyBlockSize(t *testing.T) {
	b := load(t, "formats/48000_stereo_96k.mp3")
	_, want, err := readMP3(t, b)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, read := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
		r, err := encode.NewMP3Reader(read(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readBlocks(t, r, func() int { return 1 + rng.IntN(3000) })
		if err != nil || !equal16(to16(t, got), want) {
			t.Errorf("samples depend on the size of the blocks (%v)", err)
		}
	}
}

func TestMP3RandomDamage(t *testing.T) {
	b := load(t, "formats/44100_64k.mp3")
	_, want, err := readMP3(t, b)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for range 12 {
		broken := bytes.Clone(b)
		for range 20 {
			broken[2000+rng.IntN(len(b)-2000)] ^= byte(1 << rng.IntN(8))
		}
		r, got, err := readMP3(t, broken)
		if err != nil && !errors.Is(err, encode.ErrTruncated) {
			t.Errorf("%v", err)
		}
		if d := len(got) - len(want); d > 2*1152 || d < -2*1152 {
			t.Errorf("the end moved by %d samples, damage %+v", d, encode.DamageOf(r))
		}
	}
}

func FuzzMP3(f *testing.F) {
	for _, name := range []string{"44100_64k.mp3", "48000_stereo_96k.mp3", "22050_32k_garbage_in_gomp3.mp3", "8000_mpeg25.mp3"} {
		f.Add(load(f, "formats/"+name)[:4000])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer testkit.Bounded(t)()
		r, err := encode.NewMP3Reader(bytes.NewReader(b))
		if err != nil {
			return
		}
		checkFormat(t, r.Format())
		x, _ := readAll(t, r)
		checkWhole(t, r, len(b))
		if len(x) > 100*len(b)+10_000 {
			t.Errorf("%d samples from %d bytes", len(x), len(b))
		}
		checkSamples(t, x)
	})
}
