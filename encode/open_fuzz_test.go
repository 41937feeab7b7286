package encode_test

import (
	"os"
	"path/filepath"
	"testing"

	"callscreen/encode"
	"callscreen/internal/testkit"
)

func FuzzOpen(f *testing.F) {
	pcm := wav16(8000, ramp(300))
	mp3 := load(f, "formats/48000_stereo_96k.mp3")[:3000]
	opus := load(f, "formats/mono_24k.opus")
	opus = opus[:pageOffsets(opus)[2]]
	for _, seed := range [][]byte{
		pcm, join(pcm, pcm), join(pcm, mp3), join(opus, opus), join(mp3, opus, pcm), join(sized(pcm, 0, 0), opus),
		[]byte("ID3\x04\x00\x00\x00\x00\x00\x00"), // nothing but a tag
		[]byte("\x1aE\xdf\xa3\x80webm"), []byte("\x00\x00\x00\x10ftypM4A \x00\x00\x00\x00"), join(pcm, []byte("fLaC\x00\x00\x00\x22")),
		[]byte("FORM\x00\x00\x00\x00AIFFCOMM"), []byte("caff\x00\x01\x00\x00desc\x00\x00\x00\x00\x00\x00\x00\x00"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer testkit.Bounded(t)()
		path := filepath.Join(t.TempDir(), "recording")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := encode.Open(t.Context(), path, &encode.Options{NoFFmpeg: true})
		if err != nil {
			return
		}
		defer src.Close()
		checkFormat(t, src.Format())
		buf := make([]float32, 4096*src.Format().Channels)
		for range 50_000 {
			n, err := src.Read(buf)
			checkSamples(t, buf[:n])
			if err != nil {
				checkWhole(t, src, len(b))
				return
			}
		}
	})
}
