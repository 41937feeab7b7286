package audio_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"callscreen/internal/audio"
	"callscreen/internal/seal"
)

// vault is a folder of audio below a store with keys, old and new.
type vault struct {
	dir    string
	folder *audio.Folder
	stores map[string]audio.Store
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{dir: t.TempDir()}
	var err error
	if v.folder, err = audio.NewFolder(filepath.Join(v.dir, "audio")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.folder.Close() })
	old, _, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	v.stores = map[string]audio.Store{"plain": audio.Sealed(v.folder, nil, v.dir)}
	for name, text := range map[string]string{"old": old, "rotated": next + "\n" + old} {
		keys, err := seal.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		v.stores[name] = audio.Sealed(v.folder, keys, v.dir)
	}
	return v
}

// put stores audio by way of one of the stores.
func (v *vault) put(t *testing.T, by, segment string, data []byte) audio.Evidence {
	t.Helper()
	file := filepath.Join(v.dir, "spooled")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	e := audio.Evidence{Key: "aa/" + segment + ".wav", SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}
	if err := v.stores[by].Put(t.Context(), e.Key, file); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil { // a link would change with the stored file
		t.Fatal(err)
	}
	return e
}

// change replaces a stored file.
func (v *vault) change(t *testing.T, e audio.Evidence, to func([]byte) []byte) {
	t.Helper()
	file := filepath.Join(v.dir, "audio", filepath.FromSlash(e.Key))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(file), os.WriteFile(file, to(data), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// Audio that was stored plain, with the key or with an older one is read as it was recorded.
func TestEvidenceIsRead(t *testing.T) {
	v := newVault(t)
	data := bytes.Repeat([]byte("RIFF of the caller "), 9000)
	for _, by := range []string{"plain", "old", "rotated"} {
		e := v.put(t, by, "s-"+by, data)
		if got, err := audio.Read(t.Context(), v.stores["rotated"], e); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", by, len(got), err)
		}
	}
	if _, err := audio.Read(t.Context(), v.stores["old"], audio.Evidence{Key: "aa/none.wav"}); !errors.Is(err, audio.ErrNotFound) {
		t.Error(err)
	}
}

// Whatever lies in the place of the audio of a segment is refused: a plain file where a key is set, the sealed file of another
// segment, also one with the same content, a part, and any changed bit.
func TestWhatIsNotTheEvidenceIsRefused(t *testing.T) {
	data, other := bytes.Repeat([]byte("RIFF of the caller "), 9000), bytes.Repeat([]byte("RIFF of a stranger "), 9000)
	flip := func(at func(n int) int) func([]byte) []byte {
		return func(b []byte) []byte { b[at(len(b))] ^= 4; return b }
	}
	for _, by := range []string{"plain", "old", "rotated"} {
		v := newVault(t)
		stranger := v.put(t, by, "stranger", other)
		twin := v.put(t, by, "twin", data)
		read := func(e audio.Evidence) []byte {
			b, err := os.ReadFile(filepath.Join(v.dir, "audio", filepath.FromSlash(e.Key)))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		cases := map[string]func([]byte) []byte{
			"a plain file":                  func([]byte) []byte { return other },
			"the file of another segment":   func([]byte) []byte { return read(stranger) },
			"half of it":                    func(b []byte) []byte { return b[:len(b)/2] },
			"nothing":                       func([]byte) []byte { return nil },
			"more":                          func(b []byte) []byte { return append(b, 0) },
			"a bit changed at the start":    flip(func(int) int { return 1000 }),
			"a bit changed in the middle":   flip(func(n int) int { return n / 2 }),
			"a bit changed at the end":      flip(func(n int) int { return n - 1 }),
			"the file of a segment just so": func([]byte) []byte { return read(twin) },
		}
		for name, to := range cases {
			e := v.put(t, by, "s", data)
			v.change(t, e, to)
			got, err := audio.Read(t.Context(), v.stores[by], e)
			switch {
			case by == "plain" && name == "the file of a segment just so":
				if err != nil || !bytes.Equal(got, data) { // without a key the content is all there is
					t.Errorf("%s, %s: %v", by, name, err)
				}
			case !errors.Is(err, audio.ErrTampered) || got != nil:
				t.Errorf("%s, %s: %d bytes, %v", by, name, len(got), err)
			}
			if err := v.folder.Delete(context.Background(), e.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
}
