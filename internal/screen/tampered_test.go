package screen_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/analyzer"
	closets "callscreen/internal/audio"
	"callscreen/internal/screen"
	"callscreen/internal/seal"
	"callscreen/internal/store"
)

// sealedNode returns a node with keys for its audio, and a function that reads a stored file.
func sealedNode(t *testing.T, keys *seal.Keys) (*node, func(path string) []byte) {
	t.Helper()
	dir := t.TempDir()
	folder, err := closets.NewFolder(filepath.Join(dir, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	n := newNode(t, options{
		dir:     dir,
		audio:   &closet{Store: closets.Sealed(folder, keys, dir)},
		courier: func(c *screen.ForwarderConfig) { c.Keys = keys },
	})
	return n, func(key string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, "audio", filepath.FromSlash(key)))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}

func (n *node) exchange(key string, data []byte) {
	n.t.Helper()
	file := filepath.Join(n.dir, "audio", filepath.FromSlash(key))
	if err := errors.Join(os.Remove(file), os.WriteFile(file, data, 0o600)); err != nil {
		n.t.Fatal(err)
	}
}

// While the API is down, the stored audio of a call is replaced: by plain files, by files of another call, by damaged ones.
// None of it is uploaded. Each segment fails as tampered, with an audit line, and the call is not clear.
func TestAudioThatWasExchangedIsNotUploaded(t *testing.T) {
	secret, _, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*seal.Keys{"sealed": keys, "plain": nil} {
		for what, change := range map[string]func(old, other, plain []byte) []byte{
			"plain file":   func(_, _, plain []byte) []byte { return plain },
			"another call": func(_, other, _ []byte) []byte { return other },
			"truncated":    func(old, _, _ []byte) []byte { return old[:len(old)-1000] },
			"changed":      func(old, _, _ []byte) []byte { old[len(old)/2] ^= 1; return old },
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				n, read := sealedNode(t, k)
				n.call("other", 3)
				n.call("a", 2)
				of := map[string][]store.SegmentRow{}
				for _, call := range []string{"a", "other"} {
					list, err := n.store.Segments(t.Context(), call)
					if err != nil {
						t.Fatal(err)
					}
					of[call] = list
				}
				plain := make([]byte, of["a"][0].AudioBytes) // not what was recorded, whatever it sounds like
				copy(plain, "RIFF")
				for _, g := range of["a"] {
					n.exchange(g.AudioKey, change(read(g.AudioKey), read(of["other"][2].AudioKey), plain))
				}
				n.work(nil)
				if r := n.final("a"); r.Decision != "inconclusive" || states(r) != "caller0 failed/tampered, caller1 failed/tampered" {
					t.Errorf("%s: %s", r.Decision, states(r))
				}
				if r := n.final("other"); r.Decision != "clear" {
					t.Errorf("the other call is %s: %s", r.Decision, states(r))
				}
				if got := n.audited("a", store.AuditFailed); got != 2 {
					t.Errorf("%d audit lines", got)
				}
				if len(n.api.uploaded()) != 3 || !strings.Contains(n.log.String(), "stored audio refused") {
					t.Errorf("%d uploads", len(n.api.uploaded()))
				}
			})
		}
	}
}

// The cleaned copy is made of audio that fits, too.
func TestTheCleanedCopyIsMadeOfWhatWasRecorded(t *testing.T) {
	t.Parallel()
	n, read := sealedNode(t, nil)
	n.call("a", 1)
	list, err := n.store.Segments(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	key := list[0].AudioKey
	n.api.told(func(_ context.Context, i int) (analyzer.Job, error) {
		changed := read(key)
		changed[len(changed)/2] ^= 1
		n.exchange(key, changed)
		return job(i), nil
	}, func(context.Context, string, int) (analyzer.Result, error) {
		return analyzer.Result{}, fault("wait", analyzer.KindJobFailed, false)
	})
	n.work(nil)
	if r := n.final("a"); r.Decision != "inconclusive" || states(r) != "caller0 failed/tampered" || len(n.api.uploaded()) != 1 {
		t.Errorf("%s: %s, %d uploads", r.Decision, states(r), len(n.api.uploaded()))
	}
}
