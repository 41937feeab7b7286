package encode_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callscreen/encode"
)

// The synthetic fixture carries a tone of 3,000 Hz. These tests put the fixture into unusual files and look for the tone in
// the decoded audio.
const markerHz = 3000

// toneSeconds returns for how many seconds the marker tone stands out in a channel, in blocks of 100 ms: more than half of
// the energy within 200 Hz of the tone is at the tone.
func toneSeconds(x []float32, rate int) float64 {
	size := rate / 10
	power := func(b []float32, hz float64) float64 {
		c := 2 * math.Cos(2*math.Pi*hz/float64(rate))
		var s1, s2 float64
		for _, v := range b {
			s1, s2 = float64(v)+c*s1-s2, s1
		}
		return s1*s1 + s2*s2 - c*s1*s2
	}
	n := 0
	for ; len(x) >= size; x = x[size:] {
		at := power(x[:size], markerHz)
		var beside float64
		for _, d := range []float64{-200, -150, -100, -50, 50, 100, 150, 200} {
			beside += power(x[:size], markerHz+d)
		}
		if at > beside && at > 1e-9*float64(size*size) {
			n++
		}
	}
	return float64(n) / 10
}

// heard holds the results of reading a file.
type heard struct {
	format  encode.Format
	tone    float64 // seconds of the marker tone, of the channel that has most of it
	seconds float64
	account encode.Account
	damage  encode.Damage
	tracks  []encode.Track
	err     error // of Open or Read, unless it is io.EOF
}

// hear opens a file and reads it to its end.
func hear(t testing.TB, path string, opts *encode.Options) heard {
	t.Helper()
	src, err := encode.Open(t.Context(), path, opts)
	if err != nil {
		return heard{err: err}
	}
	x, err := readAll(t, src)
	info, statErr := os.Stat(path)
	if statErr != nil {
		t.Fatal(statErr)
	}
	h := heard{format: src.Format(), account: checkWhole(t, src, int(info.Size())), err: err}
	h.damage, h.tracks = encode.DamageOf(src), encode.TracksOf(src)
	h.seconds = float64(len(x)) / float64(h.format.Channels*h.format.Rate)
	for ch := range h.format.Channels {
		h.tone = max(h.tone, toneSeconds(encode.Deinterleave(nil, x, h.format.Channels, ch), h.format.Rate))
	}
	if err := src.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return h
}

// hearBytes writes b to a file and reads it with hear.
func hearBytes(t testing.TB, b []byte) heard {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recording")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return hear(t, path, nil)
}

// voice returns seconds of a fixture as 16-bit PCM at the given rate.
func voice(t testing.TB, name string, rate int, seconds float64) []int16 {
	t.Helper()
	_, x, err := readWAV(t, load(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return to16(t, resample(t, 16000, rate, x[:int(seconds*16000)]))
}

// wav16 returns a mono 16-bit WAV file.
func wav16(rate int, pcm []int16) []byte {
	return riff(chunk("fmt ", fmtChunk(1, 1, rate, 16)), chunk("data", bytesOf(pcm)))
}

// patch returns a copy of b in which the bytes from at are overwritten.
func patch(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// sized sets the sizes of a file whose data chunk starts at 36.
func sized(b []byte, riffSize, dataSize uint32) []byte {
	return patch(patch(b, 4, le32(riffSize)...), 40, le32(dataSize)...)
}

// swapped converts a WAV file with a 16-byte fmt chunk and 16-bit samples to RIFX, the big-endian form.
func swapped(b []byte) []byte {
	b = bytes.Clone(b)
	copy(b, "RIFX")
	for _, f := range [][2]int{{4, 4}, {16, 4}, {20, 2}, {22, 2}, {24, 4}, {28, 4}, {32, 2}, {34, 2}, {40, 4}} {
		for i, j := f[0], f[0]+f[1]-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	for i := 44; i+1 < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return b
}

// Known fault: audio behind a declared size, behind a first part or behind a wrong header was not read, and no warning
// reported it.
func TestWAVToneBehindTheHeader(t *testing.T) {
	human, synthetic := voice(t, "human.wav", 8000, 8), voice(t, "synthetic.wav", 8000, 9)
	h, s := bytesOf(human), bytesOf(synthetic)
	note := chunk("LIST", []byte("INFOISFT\x04\x00\x00\x00Rec\x00"))
	head := join(chunk("JUNK", make([]byte, 28)), chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("fact", le32(1)))
	both := wav16(8000, append(append([]int16{}, human...), synthetic...))
	first := uint32(len(h))
	format := chunk("fmt ", fmtChunk(1, 1, 8000, 16))
	ds64 := func(size int) []byte {
		b := make([]byte, 28)
		binary.LittleEndian.PutUint64(b[8:], uint64(size))
		return chunk("ds64", b)
	}
	rf64 := func(ds, data uint32, id string) []byte {
		b := riff(ds64(int(ds)), format, chunk("data", append(bytes.Clone(h), s...)))
		copy(b, id+"\xff\xff\xff\xff")
		return patch(b, 12+36+24+4, le32(data)...)
	}
	mulaw := riff(chunk("fmt ", fmtChunk(7, 1, 8000, 8)), chunk("data", encode.EncodeMuLaw(nil, synthetic)))
	both2 := interleave(human[:len(synthetic)-8000], synthetic[8000:])
	stereo := riff(chunk("fmt ", fmtChunk(1, 2, 8000, 16)), chunk("data", bytesOf(both2)))
	align4 := patch(patch(wav16(8000, synthetic), 32, 4), 28, le32(32000)...)
	var deep []byte
	for _, v := range append(make([]int16, 40_000), synthetic...) {
		deep = append(deep, byte(v), byte(v), byte(v>>8))
	}
	align8 := riff(chunk("fmt ", patch(fmtChunk(1, 1, 8000, 24), 12, 4)), chunk("data", deep))
	silent := patch(patch(wav16(8000, append(make([]int16, 40_000), synthetic...)), 32, 4), 28, le32(32000)...)
	for name, b := range map[string][]byte{
		"size of the first part":             sized(both, 36+first, first),
		"size of the first part, odd":        sized(both, 36+first+1, first+1),
		"size zero":                          sized(both, 36, 0),
		"RIFF size right, data size zero":    sized(both, uint32(len(both)-8), 0),
		"size 0xffffffff":                    sized(both, 0xffffffff, 0xffffffff),
		"size 0x7fffffff":                    sized(both, 0x7fffffff, 0x7fffffff),
		"wrapped size":                       sized(both, 36+1000, 1000),
		"RF64, short 32-bit size":            rf64(uint32(len(h)+len(s)), first, "RF64"),
		"RF64, short ds64":                   rf64(first, 0xffffffff, "RF64"),
		"BW64, ds64 zero":                    rf64(0, 0xffffffff, "BW64"),
		"two files":                          append(wav16(8000, human), wav16(8000, synthetic)...),
		"two files, second 16 kHz":           append(wav16(8000, human), wav16(16000, voice(t, "synthetic.wav", 16000, 9))...),
		"two files, second mu-law":           append(wav16(8000, human), mulaw...),
		"two files, second stereo":           append(wav16(8000, human), stereo...),
		"two files, second RIFX":             append(wav16(8000, human), swapped(wav16(8000, synthetic))...),
		"two files, first without sizes":     append(sized(wav16(8000, human), 0xffffffff, 0xffffffff), mulaw...),
		"two files, zeros between":           bytes.Join([][]byte{wav16(8000, human), make([]byte, 5001), wav16(8000, synthetic)}, nil),
		"two files, second at odd offset":    append(append(sized(wav16(8000, human), 0, 0), 1), wav16(8000, synthetic)...),
		"three files":                        bytes.Join([][]byte{wav16(8000, human), wav16(22050, human), wav16(8000, synthetic)}, nil),
		"WAV in the data of a WAV":           wav16(8000, int16s(append(bytes.Clone(h), mulaw...))),
		"two data chunks":                    riff(format, chunk("data", h), chunk("data", s)),
		"LIST between two data chunks":       riff(format, chunk("data", h), note, chunk("data", s)),
		"second fmt chunk":                   riff(format, chunk("data", h), format, chunk("data", s)),
		"wave list":                          riff(format, chunk("data", h), chunk("LIST", append([]byte("wavl"), chunk("data", s)...))),
		"PCM behind a LIST chunk":            append(riff(format, chunk("data", h), chunk("LIST", []byte("INFO"))), s...),
		"PCM behind zeros":                   append(append(wav16(8000, human), make([]byte, 50_000)...), s...),
		"odd data size and PCM behind it":    append(riff(format, chunk("data", h[:len(h)-1])), s...),
		"block align 4 of 16-bit mono":       align4,
		"block align 4, silence first":       silent,
		"block align 4 of 24-bit mono":       align8,
		"RIFX":                               swapped(wav16(8000, synthetic)),
		"RIFX, size of the first part":       patch(swapped(both), 40, byte(first>>24), byte(first>>16), byte(first>>8), byte(first)),
		"6.6 kHz":                            wav16(6600, voice(t, "synthetic.wav", 6600, 9)),
		"12-bit samples in two bytes":        riff(chunk("fmt ", append(fmtChunk(1, 1, 8000, 16)[:14], 12, 0)), chunk("data", s)),
		"fact, JUNK and PAD around the data": riff(head, chunk("PAD ", make([]byte, 4096)), chunk("data", s)),
		"junk before the file":               append([]byte("HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n"), wav16(8000, synthetic)...),
	} {
		h := hearBytes(t, b)
		if h.err != nil || h.tone < 5 {
			t.Errorf("%s: the tone was found in %.1f s of %.1f s at %d Hz, %d channels, error %v, account %+v",
				name, h.tone, h.seconds, h.format.Rate, h.format.Channels, h.err, h.account)
		}
		if h.account.Unheard() > 0 {
			t.Errorf("%s: %v unheard: %+v", name, h.account.Unheard(), h.account)
		}
	}
}

// interleave returns stereo samples of two channels.
func interleave(a, b []int16) []int16 {
	var out []int16
	for i := range min(len(a), len(b)) {
		out = append(out, a[i], b[i])
	}
	return out
}

func TestWAVPaddedContainer(t *testing.T) {
	// 24 bits in four bytes, left-justified. The block align is correct here.
	pcm := voice(t, "synthetic.wav", 8000, 3)
	var body []byte
	for _, v := range pcm {
		body = append(body, 0, 0, byte(v), byte(v>>8))
	}
	f := fmtChunk(1, 1, 8000, 32)
	f[14] = 24
	_, x, err := readWAV(t, riff(chunk("fmt ", f), chunk("data", body)))
	if err != nil || !equal16(to16(t, x), pcm) {
		t.Errorf("%d samples, want %d, %v", len(x), len(pcm), err)
	}
}

// Bytes behind the audio that hold no audio are not reported.
func TestHarmlessBytesBehindTheAudio(t *testing.T) {
	pcm := voice(t, "human.wav", 8000, 8)
	format, data := chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("data", bytesOf(pcm))
	mp3 := load(t, "formats/44100_64k.mp3")
	opus := load(t, "formats/mono_24k.opus")
	text := bytes.Repeat([]byte("<call id=\"17\">agent</call>\r\n"), 4000)
	id3v1 := append([]byte("TAG"), make([]byte, 125)...)
	ape := append([]byte("APETAGEX\xd0\x07\x00\x00\x20\x00\x00\x00\x01\x00\x00\x00"), make([]byte, 12+32)...)
	for name, b := range map[string][]byte{
		"WAV, zeros":          append(wav16(8000, pcm), make([]byte, 200_000)...),
		"WAV, text":           append(wav16(8000, pcm), text...),
		"WAV, LIST":           riff(format, data, chunk("LIST", append([]byte("INFO"), text...))),
		"WAV, large JUNK":     riff(chunk("JUNK", make([]byte, 100_000)), format, data),
		"WAV, small binary":   riff(format, data, chunk("smpl", noise(60, 1))),
		"WAV, one stray byte": append(wav16(8000, pcm), 0x17),
		"MP3, ID3v1":          append(bytes.Clone(mp3), id3v1...),
		"MP3, APE":            append(bytes.Clone(mp3), ape...),
		"MP3, zeros":          append(bytes.Clone(mp3), make([]byte, 100_000)...),
		"MP3, text":           append(bytes.Clone(mp3), text...),
		"Opus, zeros":         append(bytes.Clone(opus), make([]byte, 100_000)...),
		"Opus, text":          append(bytes.Clone(opus), text...),
	} {
		h := hearBytes(t, b)
		if h.err != nil || h.account.Unheard() > 0 || h.account.Read != int64(len(b)) || h.damage != (encode.Damage{}) {
			t.Errorf("%s: %v, %+v, damage %+v", name, h.err, h.account, h.damage)
		}
		if h.seconds > 9 {
			t.Errorf("%s: %.1f s", name, h.seconds)
		}
	}
}

// A large chunk of unknown meaning may be audio.
func TestWAVOtherChunkIsBooked(t *testing.T) {
	human, synthetic := voice(t, "human.wav", 8000, 8), voice(t, "synthetic.wav", 8000, 9)
	for _, id := range []string{"JUNK", "LIST", "dat2", "id3 "} {
		h := hearBytes(t, riff(chunk("fmt ", fmtChunk(1, 1, 8000, 16)), chunk("data", bytesOf(human)), chunk(id, bytesOf(synthetic))))
		if d := h.account.UnreadTime[encode.OtherChunk]; h.err != nil || d < 8*time.Second || d > 10*time.Second {
			t.Errorf("%s: %v, %+v", id, h.err, h.account)
		}
	}
}

func TestFilesThatStayAsTheyWere(t *testing.T) {
	// Open gives the same samples as the reader of the format.
	for _, name := range []string{"human.wav", "two-legs.wav", "formats/48000_stereo_96k.mp3", "formats/stereo_60ms.opus"} {
		src, err := encode.Open(t.Context(), fixture(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, src)
		if err != nil {
			t.Error(err)
		}
		b := load(t, name)
		if a := checkWhole(t, src, len(b)); a.Read != int64(len(b)) {
			t.Errorf("%s: %+v", name, a)
		}
		src.Close()
		var direct encode.Source
		switch filepath.Ext(name) {
		case ".wav":
			direct, err = encode.NewWAVReader(bytes.NewReader(b))
		case ".mp3":
			direct, err = encode.NewMP3Reader(bytes.NewReader(b))
		default:
			direct, err = encode.NewOpusReader(bytes.NewReader(b))
		}
		if err != nil {
			t.Fatal(err)
		}
		want, err := readAll(t, direct)
		if err != nil || len(want) == 0 || !equal32(got, want) {
			t.Errorf("%s: %d samples, want %d, %v", name, len(got), len(want), err)
		}
	}
}

func TestTheToneIsInTheSyntheticVoiceOnly(t *testing.T) {
	for _, rate := range []int{8000, 16000, 22050} {
		if h := hearBytes(t, wav16(rate, voice(t, "human.wav", rate, 20))); h.tone > 0.5 {
			t.Errorf("%d Hz: the human voice has %.1f s of the tone", rate, h.tone)
		}
		if h := hearBytes(t, wav16(rate, voice(t, "synthetic.wav", rate, 20))); h.tone < 15 {
			t.Errorf("%d Hz: the synthetic voice has %.1f s of the tone", rate, h.tone)
		}
	}
	if h := hearBytes(t, opusFixture(t, "human")); h.tone > 0.5 {
		t.Errorf("Opus: the human voice has %.1f s of the tone", h.tone)
	}
}
