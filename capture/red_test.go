package capture

import (
	"testing"

	"callscreen/internal/testkit"
)

// The blocks of a RED payload are consecutive parts of it, and at most maxRED.
func FuzzRED(f *testing.F) {
	f.Add([]byte{0x80 | 111, 0x0f, 0x00, 2, 111, 1, 2, 3})
	f.Add([]byte{0x80, 0xff, 0xff, 0xff, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		defer testkit.Bounded(t)()
		blocks, err := parseRED(nil, payload)
		if err != nil {
			return
		}
		n := 1 + 4*(len(blocks)-1)
		for _, b := range blocks {
			n += len(b.payload)
			if b.offset > 1<<14-1 || b.payloadType > 127 {
				t.Errorf("%+v", b)
			}
		}
		if len(blocks) == 0 || len(blocks) > maxRED || n != len(payload) {
			t.Errorf("%d blocks take %d of %d bytes", len(blocks), n, len(payload))
		}
	})
}
