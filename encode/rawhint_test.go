package encode_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/encode"
)

// A file of samples without a header is refused with the command that adds one.
func TestRawSamplesHaveAHint(t *testing.T) {
	pcm := voice(t, "human.wav", 8000, 4)
	raw := encode.EncodeMuLaw(nil, pcm)
	for name, c := range map[string]struct {
		content []byte
		hint    string
	}{
		"call.ul":    {raw, "-f mulaw"},
		"call":       {raw, "-f mulaw"},
		"header.ul":  {join([]byte{0xff, 0xfd, 0x84, 0x44}, raw), "-f mulaw"},
		"call.alaw":  {encode.EncodeALaw(nil, pcm), "-f alaw"},
		"call.raw":   {bytesOf(pcm), "-f s16le"},
		"notes.txt":  {[]byte(strings.Repeat("The call was short.\n", 200)), ""},
		"random.bin": {noise(100, 4), ""},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := encode.Open(t.Context(), path, nil)
		if err == nil {
			src.Close()
		}
		var h interface{ Hint() string }
		hint := ""
		if errors.As(err, &h) {
			hint = h.Hint()
		}
		if !errors.Is(err, encode.ErrNotAudio) || (hint == "") != (c.hint == "") || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: %v, hint %q", name, err, hint)
		}
	}
}
