package encode_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"callscreen/encode"
)

// formats returns a voice in formats that start without a mark, or that other readers take for their own audio.
func formats(t *testing.T, voice string) map[string][]byte {
	out := map[string][]byte{}
	for name, c := range map[string]struct {
		ext  string
		args []string
	}{
		"ADTS":   {"aac", []string{"-c:a", "aac", "-ar", "16000", "-b:a", "24k"}},
		"MP2":    {"mp2", []string{"-c:a", "mp2", "-ar", "16000", "-b:a", "32k"}},
		"AC-3":   {"ac3", []string{"-c:a", "ac3", "-ar", "32000", "-b:a", "64k"}},
		"E-AC-3": {"eac3", []string{"-c:a", "eac3", "-ar", "32000", "-b:a", "64k"}},
		"DTS":    {"dts", []string{"-strict", "-2", "-c:a", "dca", "-ar", "16000"}},
		"FLV":    {"flv", []string{"-c:a", "libmp3lame", "-ar", "22050", "-b:a", "32k"}},
		"TTA":    {"tta", []string{"-c:a", "tta", "-ar", "8000"}},
		"WV":     {"wv", []string{"-c:a", "wavpack", "-ar", "8000"}},
		"AVI":    {"avi", []string{"-c:a", "pcm_s16le", "-ar", "8000"}},
		"MPG":    {"mpg", []string{"-c:a", "mp2", "-ar", "48000", "-b:a", "64k"}},
		"TS":     {"ts", []string{"-c:a", "aac", "-ar", "16000", "-b:a", "24k"}},
		"NUT":    {"nut", []string{"-c:a", "pcm_s16le", "-ar", "8000"}},
		"VOC":    {"voc", []string{"-c:a", "pcm_u8", "-ar", "8000"}},
		"MP3":    {"mp3", []string{"-ar", "16000", "-b:a", "24k"}},
		"mu-law": {"ul", []string{"-f", "mulaw", "-ar", "8000"}},
		"PCM":    {"raw", []string{"-f", "s16le", "-ar", "16000"}},
		"WAV":    {"wav", []string{"-ar", "16000"}},
		"ADPCM":  {"wav", []string{"-c:a", "adpcm_ima_wav", "-ar", "8000"}},
		"AU":     {"au", []string{"-c:a", "pcm_s16be", "-ar", "16000"}},
		"mulaw":  {"wav", []string{"-c:a", "pcm_mulaw", "-ar", "8000"}},
		"M4A":    {"m4a", []string{"-c:a", "aac", "-b:a", "24k"}},
	} {
		out[name] = muxed(t, c.ext, []string{voice}, c.args...)
	}
	return out
}

// A recording behind another is heard, or unheard time is booked for it, whatever the formats are.
func TestJoinedFormatsAreHeardOrBooked(t *testing.T) {
	if testing.Short() {
		t.Skip("many files of ffmpeg; the tests without -short read them")
	}
	first, second := formats(t, "human.wav"), formats(t, "synthetic.wav")
	for outer, inner := range map[string][]string{
		"WAV":    {"ADTS", "MP2", "AC-3", "E-AC-3", "DTS", "FLV", "TTA", "AVI", "MPG", "TS", "NUT", "mu-law"},
		"mulaw":  {"PCM", "VOC", "ADTS"},
		"ADPCM":  {"mu-law", "WV"},
		"AC-3":   {"ADTS", "PCM", "MP2"},
		"DTS":    {"MP3", "ADTS"},
		"MP2":    {"TTA", "mu-law"},
		"MPG":    {"MP3", "ADTS", "PCM"},
		"TS":     {"ADTS", "PCM", "FLV"},
		"NUT":    {"PCM", "VOC"},
		"FLV":    {"FLV", "ADTS"},
		"AVI":    {"MP3"},
		"M4A":    {"VOC", "NUT"},
		"AU":     {"mu-law", "MP3", "PCM"},
		"E-AC-3": {"WV"},
	} {
		for _, name := range inner {
			h := hearBytes(t, join(first[outer], second[name]))
			if h.err == nil && h.tone < 5 && h.account.Unheard() < 4*time.Second {
				t.Errorf("%s behind %s: the tone is there for %.1f s of %.1f s, %+v", name, outer, h.tone, h.seconds, h.account)
			}
		}
	}
}

// PCM that is compressed data, or samples of another width, is damaged. Speech, music and noise are not.
func TestBytesThatAreNoSamplesAreDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	random := make([]byte, 64_000)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	gauss := func(level float64) []int16 {
		out := make([]int16, 32_000)
		for i := range out {
			out[i] = int16(max(-32768, min(32767, rng.NormFloat64()*level*32768)))
		}
		return out
	}
	loud := slices.Clone(voice(t, "human.wav", 16000, 8))
	for i := range loud {
		loud[i] = int16(max(-32768, min(32767, 8*int(loud[i]))))
	}
	human := bytesOf(voice(t, "human.wav", 16000, 4))
	alone := func(tag, bits int, body []byte) []byte {
		return riff(chunk("fmt ", fmtChunk(tag, 1, 16000, bits)), chunk("data", body))
	}
	for name, c := range map[string]struct {
		file    []byte
		damaged bool
	}{
		"random bytes in 16 bits": {alone(1, 16, join(human, random)), true},
		"random bytes in mu-law":  {alone(7, 8, random), true},
		"random bytes in 24 bits": {alone(1, 24, random[:63_999]), true},
		"PCM in mu-law":           {alone(7, 8, human), true},
		"other byte order":        {alone(1, 16, otherOrder(human)), true},
		"PCM in A-law":            {alone(6, 8, human), true},
		"speech":                  {alone(1, 16, human), false},
		"loud speech":             {alone(1, 16, bytesOf(loud)), false},
		"quiet noise":             {alone(1, 16, bytesOf(gauss(0.0001))), false},
		"noise":                   {alone(1, 16, bytesOf(gauss(0.05))), false},
		"loud noise":              {alone(1, 16, bytesOf(gauss(0.2))), false},
		"8-bit speech":            {alone(1, 8, eightBits(voice(t, "human.wav", 16000, 8))), false},
		"tone at the limit":       {alone(1, 16, bytesOf(sine(32767, 1004))), false},
		"two tones":               {alone(1, 16, bytesOf(sine(16383, 697, 1633))), false},
		"tones in mu-law":         {alone(7, 8, encode.EncodeMuLaw(nil, sine(16383, 3777, 1004))), false},
		"silence":                 {alone(7, 8, bytes.Repeat([]byte{0xff}, 64_000)), false},
	} {
		h := hearBytes(t, c.file)
		if h.err != nil || (h.account.Damaged > 0) != c.damaged {
			t.Errorf("%s: %v, %+v", name, h.err, h.account)
		}
	}
}

// otherOrder returns 16-bit samples in the other byte order.
func otherOrder(b []byte) []byte {
	out := bytes.Clone(b)
	for i := 0; i+1 < len(out); i += 2 {
		out[i], out[i+1] = out[i+1], out[i]
	}
	return out
}

// sine returns four seconds of tones.
func sine(level float64, hz ...float64) []int16 {
	out := make([]int16, 64_000)
	for i := range out {
		for _, f := range hz {
			out[i] += int16(level * math.Sin(2*math.Pi*f*float64(i)/16000))
		}
	}
	return out
}

func eightBits(pcm []int16) []byte {
	out := make([]byte, len(pcm))
	for i, v := range pcm {
		out[i] = byte(int(v)>>8 + 128)
	}
	return out
}

// A box of unknown type that claims the rest of an MPEG-4 file hides nothing.
func TestUnknownBoxIsBooked(t *testing.T) {
	m4a := muxed(t, "m4a", []string{"human.wav"}, "-c:a", "aac", "-b:a", "24k")
	pcm := bytesOf(voice(t, "synthetic.wav", 16000, 9))
	box := func(name string) []byte {
		return join(binary.BigEndian.AppendUint32(nil, uint32(len(pcm)+8)), []byte(name), pcm)
	}
	for name, b := range map[string][]byte{
		"to the end": join(m4a, []byte("\x00\x00\x00\x00abcd"), pcm),
		"free":       join(m4a, box("free")),
		"skip":       join(m4a, box("skip")),
	} {
		if h := hearBytes(t, b); h.err != nil || h.tone < 5 && h.account.Unheard() < 4*time.Second {
			t.Errorf("%s: the tone is there for %.1f s, %v, %+v", name, h.tone, h.err, h.account)
		}
	}
}
