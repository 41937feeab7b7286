package encode_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"callscreen/encode"
	"callscreen/internal/testkit"
)

func readOpus(t testing.TB, b []byte) (*encode.OpusReader, []int16, error) {
	t.Helper()
	r, err := encode.NewOpusReader(onlyReader{bytes.NewReader(b)})
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	x, err := readAll(t, r)
	checkWhole(t, r, len(b))
	return r, to16(t, x), err
}

// pageOffsets are the pages of an undamaged file.
func pageOffsets(b []byte) []int {
	var out []int
	for at := 0; at+27 <= len(b) && string(b[at:at+4]) == "OggS"; {
		out = append(out, at)
		n := 27 + int(b[at+26])
		if at+n > len(b) {
			break
		}
		for _, v := range b[at+27 : at+n] {
			n += int(v)
		}
		at += n
	}
	return out
}

// oggCRC is the checksum of RFC 3533, bit by bit.
func oggCRC(page []byte) uint32 {
	var crc uint32
	for _, v := range page {
		crc ^= uint32(v) << 24
		for range 8 {
			if crc>>31 == 1 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// repage changes a page and updates its checksum.
func repage(page []byte, change func([]byte)) {
	change(page)
	clear(page[22:26])
	binary.LittleEndian.PutUint32(page[22:], oggCRC(page))
}

// againstLibopus compares the first channel with what libopus decodes at 48,000 Hz, both brought to 8,000 Hz. SILK at
// 16,000 Hz has its own delay, two samples of 48,000 Hz more than at that rate, so that the best of three shifts counts.
func againstLibopus(t testing.TB, path string, got []int16, channels int) (db float64) {
	t.Helper()
	raw := int16s(
		run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-c:a", "libopus", "-i", path, "-ar", "48000", "-f", "s16le", "-"),
	)
	first := func(pcm []int16) []float32 {
		x := make([]float32, len(pcm))
		encode.ToFloat32(x, pcm)
		return encode.Deinterleave(nil, x, channels, 0)
	}
	theirs, ours := first(raw), first(got)
	if d := len(ours) - (len(theirs)+2)/3; d < -1 || d > 1 {
		t.Errorf("%s: %d samples, libopus gives %d at 48,000 Hz", path, len(ours), len(theirs))
	}
	ours = resample(t, 16000, 48000, ours)
	for shift := range 3 {
		db = max(db, snr(to16(t, resample(t, 48000, 8000, ours[shift:])), to16(t, resample(t, 48000, 8000, theirs))))
	}
	return db
}

// longOpus makes a file of many pages: 20 seconds of speech, a page every 200 ms.
func longOpus(t testing.TB, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "long.opus")
	all := append(
		[]string{"-hide_banner", "-loglevel", "error", "-i", fixture("human.wav"), "-c:a", "libopus", "-page_duration", "200000", "-b:a", "24k"},
		args...)
	run(t, nil, "ffmpeg", append(all, path)...)
	return path
}

func TestOpusEqualsLibopus(t *testing.T) {
	if testing.Short() {
		t.Skip("much arithmetic, and no goroutine")
	}
	for _, c := range []struct {
		path     string
		channels int
	}{
		{fixture("formats/mono_24k.opus"), 1}, {fixture("formats/stereo_60ms.opus"), 2}, {longOpus(t), 1},
		{longOpus(t, "-application", "lowdelay", "-frame_duration", "10"), 1}, {longOpus(t, "-b:a", "10k", "-frame_duration", "40"), 1},
	} {
		b, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		r, got, err := readOpus(t, b)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if want := (encode.Format{Rate: 16000, Channels: c.channels, Container: "ogg", Codec: "opus"}); r.Format() != want {
			t.Errorf("format is %+v, want %+v", r.Format(), want)
		}
		if db := againstLibopus(t, c.path, got, c.channels); db < 28 {
			t.Errorf("%s: %.1f dB against libopus", c.path, db)
		}
		if d := encode.DamageOf(r); d != (encode.Damage{}) {
			t.Errorf("%s: damage is %+v", c.path, d)
		}
	}
}

func TestOpusLengthIsTheEncodersInput(t *testing.T) {
	// Pre-skip and end trimming together give back exactly the 47,840 samples that were encoded.
	_, x, err := readWAV(t, load(t, "formats/pcm_s16.wav"))
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := readOpus(t, load(t, "formats/mono_24k.opus"))
	if err != nil || len(got) != len(x) {
		t.Errorf("%d samples, %d were encoded, %v", len(got), len(x), err)
	}
}

func TestOpusDamagedPageKeepsTheRest(t *testing.T) {
	// Known bug of the oggreader of pion/opus v0.1.0: a page with a wrong checksum ends the file.
	b, err := os.ReadFile(longOpus(t))
	if err != nil {
		t.Fatal(err)
	}
	_, want, err := readOpus(t, b)
	if err != nil {
		t.Fatal(err)
	}
	at := pageOffsets(b)
	for name, damage := range map[string]func([]byte) []byte{
		"bit in the body":        func(b []byte) []byte { b[at[21]-10] ^= 1; return b },
		"bit in the header":      func(b []byte) []byte { b[at[20]+1] ^= 1; return b },
		"segment count":          func(b []byte) []byte { b[at[20]+26] = 255; return b },
		"page is missing":        func(b []byte) []byte { return append(b[:at[20]:at[20]], b[at[21]:]...) },
		"page is zeros":          func(b []byte) []byte { clear(b[at[20]:at[21]]); return b },
		"junk between two pages": func(b []byte) []byte { return append(append(b[:at[20]:at[20]], "OggSjunk"...), b[at[20]:]...) },
	} {
		r, got, err := readOpus(t, damage(bytes.Clone(b)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d samples, %d without the damage: positions moved", name, len(got), len(want))
		}
		d := encode.DamageOf(r)
		if d.Events != 1 || name != "junk between two pages" && d.Lost != 3200 {
			t.Errorf("%s: damage is %+v, want one event and 200 ms", name, d)
		}
		if from := 22 * 3200; snr(got[from:], want[from:]) < 20 {
			t.Errorf("%s: %.1f dB behind the damage", name, snr(got[from:], want[from:]))
		}
		if to := 18*3200 - 104; !equal16(got[:to], want[:to]) {
			t.Errorf("%s: audio before the damage changed", name)
		}
	}
}

func TestOpusTruncatedIsVisible(t *testing.T) {
	b := load(t, "formats/mono_24k.opus")
	at := pageOffsets(b)
	last := at[len(at)-1]
	for _, cut := range []int{last, last + 10, last + 27, len(b) - 1} {
		_, got, err := readOpus(t, b[:cut])
		if !errors.Is(err, encode.ErrTruncated) {
			t.Errorf("cut at %d of %d: %v", cut, len(b), err)
		}
		if last > at[2] && len(got) == 0 {
			t.Errorf("cut at %d: what is there is lost", cut)
		}
	}
}

func TestOpusFalsePositions(t *testing.T) {
	b, err := os.ReadFile(longOpus(t))
	if err != nil {
		t.Fatal(err)
	}
	_, want, err := readOpus(t, b)
	if err != nil {
		t.Fatal(err)
	}
	at := pageOffsets(b)
	for _, granule := range []uint64{1 << 62, 1<<63 + 5, 0, 1 << 40} {
		broken := bytes.Clone(b)
		repage(broken[at[20]:at[21]], func(p []byte) { binary.LittleEndian.PutUint64(p[6:], granule) })
		_, got, err := readOpus(t, broken)
		if err != nil {
			t.Errorf("%#x: %v", granule, err)
		}
		if len(got) < len(want)-4000 || len(got) > len(want)+4000 {
			t.Errorf("a position of %#x: %d samples, want about %d", granule, len(got), len(want))
		}
	}
}

func TestOpusGapsAreBoundedInAll(t *testing.T) {
	// 60 pages of one packet, 9 minutes apart from each other: above the limit for all gaps of a file.
	b := load(t, "formats/mono_24k.opus")
	at := pageOffsets(b)
	in := bytes.Clone(b[:at[2]])
	for i := range 60 {
		page := append([]byte("OggS\x00\x00"), make([]byte, 22)...)
		page = append(page, 0xf8) // one packet of 20 ms
		page[26], page[27] = 1, 1
		binary.LittleEndian.PutUint64(page[6:], uint64(i*540*48000+960))
		copy(page[14:18], b[14:18])
		binary.LittleEndian.PutUint32(page[18:], uint32(i+2))
		repage(page, func([]byte) {})
		in = append(in, page...)
	}
	r, err := encode.NewOpusReader(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]float32, 1<<16)
	var n int
	for err == nil {
		var k int
		k, err = r.Read(buf)
		n += k
	}
	if most := 4*3600*16000 + 60*320; n > most || n < most-600*16000 {
		t.Errorf("%d samples, want about %d", n, most)
	}
	if d := encode.DamageOf(r); d.Events < 59 {
		t.Errorf("damage is %+v, 59 gaps", d)
	}
}

func TestOpusGain(t *testing.T) {
	b := load(t, "formats/mono_24k.opus")
	_, want, err := readOpus(t, b)
	if err != nil {
		t.Fatal(err)
	}
	at := pageOffsets(b)
	repage(b[:at[1]], func(p []byte) { binary.LittleEndian.PutUint16(p[28+16:], 0xfa00) }) // -6 dB
	_, got, err := readOpus(t, b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if d := float64(want[i])*0.501187 - float64(got[i]); d > 1.1 || d < -1.1 {
			t.Fatalf("sample %d is %d, was %d without gain", i, got[i], want[i])
		}
	}
}

func TestOggRefuses(t *testing.T) {
	for _, codec := range []string{"flac", "libvorbis", "libspeex"} {
		path := filepath.Join(t.TempDir(), "clip.ogg")
		run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", fixture("formats/pcm_s16.wav"), "-c:a", codec, path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := readOpus(t, b); !isUnsupported(err) {
			t.Errorf("%s: %v", codec, err)
		}
	}
	b := load(t, "formats/mono_24k.opus")
	chained := append(bytes.Clone(b), load(t, "formats/stereo_60ms.opus")...)
	_, got, err := readOpus(t, chained)
	if !isUnsupported(err) || len(got) != 47840 {
		t.Errorf("a chain gives %d samples and %v", len(got), err)
	}
	surround := bytes.Clone(b)
	repage(surround[:pageOffsets(b)[1]], func(p []byte) { p[28+9], p[28+18] = 6, 1 })
	if _, _, err := readOpus(t, surround); !isUnsupported(err) {
		t.Errorf("six channels: %v", err)
	}
	for name, b := range map[string][]byte{"empty": nil, "junk": []byte("OggS and nothing else"), "zeros": make([]byte, 200_000)} {
		if _, _, err := readOpus(t, b); !errors.Is(err, encode.ErrNotAudio) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOggPacketsAddUp(t *testing.T) {
	r, err := encode.NewOggReader(bytes.NewReader(load(t, "formats/stereo_60ms.opus")))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if h := r.Head(); h.Channels != 2 || h.PreSkip == 0 || h.Gain != 0 {
		t.Errorf("head is %+v", h)
	}
	total, n := 0, 0
	for {
		packet, samples, err := r.NextPacket()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if full, err := encode.OpusDuration(packet); err != nil || samples > full || samples < full && n < 40 {
			t.Errorf("packet %d stands for %d of %d samples, %v", n, samples, full, err)
		}
		total += samples
		n++
	}
	if got := total - r.Head().PreSkip; got != 3*47840 {
		t.Errorf("packets make %d samples, %d were encoded", got, 3*47840)
	}
}

func TestOpusDuration(t *testing.T) {
	for _, c := range []struct {
		packet []byte
		want   int
	}{
		{[]byte{0x00}, 480}, {[]byte{0x18}, 2880}, {[]byte{0x48}, 960}, {[]byte{0x60}, 480}, {[]byte{0x80}, 120}, {[]byte{0xf8}, 960},
		{[]byte{0xf9}, 1920}, {[]byte{0xfa}, 1920}, {[]byte{0x83, 5}, 600}, {[]byte{0xfb, 6}, 5760},
		{nil, 0}, {[]byte{0xfb}, 0}, {[]byte{0xfb, 0}, 0}, {[]byte{0xfb, 7}, 0},
	} {
		got, err := encode.OpusDuration(c.packet)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%x: %d, %v, want %d", c.packet, got, err, c.want)
		}
	}
}

func TestOpusAnyBlockSize(t *testing.T) {
	b := load(t, "formats/stereo_60ms.opus")
	_, want, err := readOpus(t, b)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	r, err := encode.NewOpusReader(iotest.OneByteReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readBlocks(t, r, func() int { return 1 + rng.IntN(3000) })
	if err != nil || !equal16(to16(t, got), want) {
		t.Errorf("samples depend on the size of the blocks (%v)", err)
	}
}

func TestOpusDecoderSurvivesAnything(t *testing.T) {
	d, err := encode.NewOpusDecoder(2)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(300) {
		p := noise(int(seed)+1, seed)
		p[0] = byte(seed)
		x, err := d.Decode(nil, p)
		if err != nil && len(x) != 0 {
			t.Fatal("samples and an error")
		}
		checkSamples(t, x)
	}
	for _, n := range []int{0, 3} {
		if _, err := encode.NewOpusDecoder(n); err == nil {
			t.Errorf("%d channels: no error", n)
		}
	}
}

func FuzzOgg(f *testing.F) {
	for _, name := range []string{"mono_24k.opus", "stereo_60ms.opus"} {
		b := load(f, "formats/"+name)
		f.Add(b)
		f.Add(b[:pageOffsets(b)[2]])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer testkit.Bounded(t)()
		// The fuzzer cannot guess checksums: pages that are otherwise whole get theirs.
		b = bytes.Clone(b)
		at := append(pageOffsets(b), len(b))
		for i, to := range at[1:] {
			if to-at[i] >= 27 {
				repage(b[at[i]:to], func([]byte) {})
			}
		}
		r, err := encode.NewOpusReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		checkFormat(t, r.Format())
		buf := make([]float32, 9600)
		for range 50_000 {
			n, err := r.Read(buf)
			checkSamples(t, buf[:n])
			if err != nil {
				checkWhole(t, r, len(b))
				return
			}
		}
	})
}
