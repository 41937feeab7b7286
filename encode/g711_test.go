package encode_test

import (
	"testing"

	"callscreen/encode"
)

func allCodes() []byte {
	codes := make([]byte, 256)
	for i := range codes {
		codes[i] = byte(i)
	}
	return codes
}

func TestG711DecodersEqualFFmpeg(t *testing.T) {
	for format, got := range map[string][]int16{
		"alaw": encode.NewALawDecoder().Decode(nil, allCodes()), "mulaw": encode.NewMuLawDecoder().Decode(nil, allCodes()),
	} {
		raw := run(t, allCodes(), "ffmpeg", "-hide_banner", "-loglevel", "error", "-f", format, "-ar", "8000", "-i", "-", "-f", "s16le", "-")
		if !equal16(got, int16s(raw)) {
			t.Errorf("%s differs from ffmpeg", format)
		}
	}
}

func TestG711KnownValues(t *testing.T) {
	// The first and last values of each half of tables 1 and 2 of ITU-T G.711, times 16 (A-law) and 4 (mu-law).
	for code, want := range map[byte]int16{0xd5: 8, 0x55: -8, 0xaa: 32256, 0x2a: -32256} {
		if got := encode.ALawToLinear(code); got != want {
			t.Errorf("A-law %#x is %d, want %d", code, got, want)
		}
	}
	for code, want := range map[byte]int16{0xff: 0, 0x7f: 0, 0x80: 32124, 0x00: -32124} {
		if got := encode.MuLawToLinear(code); got != want {
			t.Errorf("mu-law %#x is %d, want %d", code, got, want)
		}
	}
}

func TestG711Encoders(t *testing.T) {
	for name, c := range map[string]struct {
		encode func(int16) byte
		expand func(byte) int16
	}{"A-law": {encode.LinearToALaw, encode.ALawToLinear}, "mu-law": {encode.LinearToMuLaw, encode.MuLawToLinear}} {
		last := -1 << 20
		for x := -32768; x <= 32767; x++ {
			y := int(c.expand(c.encode(int16(x))))
			if y < last {
				t.Fatalf("%s: %d gives %d, less than the sample before", name, x, y)
			}
			last = y
			// An interval is a 16th of its segment, and a segment is as wide as the distance of its start from zero,
			// biased for mu-law: at most half an interval is lost, but for what saturates.
			if off, most := abs(x-y), max(8, (abs(x)+132)/32+1); off > most && abs(x) < 32636 {
				t.Fatalf("%s: %d comes back as %d", name, x, y)
			}
		}
		for code := range 256 {
			x := c.expand(byte(code))
			if y := c.expand(c.encode(x)); y != x {
				t.Errorf("%s: %d comes back as %d", name, x, y)
			}
		}
	}
}

func abs(x int) int { return max(x, -x) }

func FuzzG711(f *testing.F) {
	f.Add([]byte("\x00\x55\xd5\xff"))
	alaw, mulaw := encode.NewALawDecoder(), encode.NewMuLawDecoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		a, u := alaw.Decode(nil, b), mulaw.Decode(nil, b)
		if len(a) != len(b) || len(u) != len(b) {
			t.Fatal("a code is a sample")
		}
		if !equal16(alaw.Decode(nil, encode.EncodeALaw(nil, a)), a) || !equal16(mulaw.Decode(nil, encode.EncodeMuLaw(nil, u)), u) {
			t.Fatal("decoded samples do not survive encoding")
		}
	})
}
