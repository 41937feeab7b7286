package encode_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"callscreen/encode"
)

func TestG722DecodesTheVector(t *testing.T) {
	got := encode.NewG722Decoder().Decode(nil, load(t, "formats/speech.g722"))
	want := int16s(load(t, "formats/speech.g722.s16le"))
	if len(want) == 0 || !equal16(got, want) {
		t.Errorf("%d samples differ from the %d of the vector", len(got), len(want))
	}
}

// noise returns random bytes, which drive all adaptive values of the codec to their limits.
func noise(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
		if i/5000%3 == 1 { // long runs of one code
			b[i] = byte(seed) + byte(i/5000)
		}
	}
	return b
}

func TestG722DecoderEqualsFFmpeg(t *testing.T) {
	for seed := range uint64(4) {
		b := noise(60_000, seed)
		want := int16s(run(t, b, "ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "g722", "-i", "-", "-f", "s16le", "-"))
		got := encode.NewG722Decoder().Decode(nil, b)
		if len(got) != len(want) {
			t.Fatalf("%d samples, ffmpeg decodes %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("seed %d: sample %d is %d, ffmpeg decodes %d", seed, i, got[i], want[i])
			}
		}
	}
}

func TestG722RoundTrip(t *testing.T) {
	_, x, err := readWAV(t, load(t, "formats/pcm_s16.wav"))
	if err != nil {
		t.Fatal(err)
	}
	pcm := to16(t, x)
	e, d := encode.NewG722Encoder(), encode.NewG722Decoder()
	var got []int16
	for rest := pcm; len(rest) > 0; { // blocks of odd length: the encoder keeps half a pair
		n := min(33, len(rest))
		got = d.Decode(got, e.Encode(nil, rest[:n]))
		rest = rest[n:]
	}
	const delay = 22 // samples, of the two filters
	if db := snr(got[delay:], pcm); db < 22 {
		t.Errorf("signal-to-noise ratio after encoding and decoding is %.1f dB, want at least 22 dB", db)
	}
}

func TestG722EncoderEqualsFFmpeg(t *testing.T) {
	// speech.g722 is pcm_s16.wav, encoded by ffmpeg.
	_, x, err := readWAV(t, load(t, "formats/pcm_s16.wav"))
	if err != nil {
		t.Fatal(err)
	}
	if got := encode.NewG722Encoder().Encode(nil, to16(t, x)); !bytes.Equal(got, load(t, "formats/speech.g722")) {
		t.Error("the codes differ from those of ffmpeg")
	}
}

func TestG722AnyBlockSize(t *testing.T) {
	b := noise(5000, 9)
	want := encode.NewG722Decoder().Decode(nil, b)
	d := encode.NewG722Decoder()
	var got []int16
	for len(b) > 0 {
		n := min(7, len(b))
		got = d.Decode(got, b[:n])
		b = b[n:]
	}
	if !equal16(got, want) {
		t.Error("samples depend on the size of the blocks")
	}
}

func FuzzG722(f *testing.F) {
	f.Add(noise(300, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := encode.NewG722Decoder().Decode(nil, b)
		if len(x) != 2*len(b) {
			t.Fatalf("%d bytes were decoded to %d samples, want two samples a byte", len(b), len(x))
		}
		if y := encode.NewG722Encoder().Encode(nil, x); len(y) != len(b) {
			t.Fatalf("%d samples were encoded to %d bytes, want %d", len(x), len(y), len(b))
		}
	})
}
