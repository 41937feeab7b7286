package spool_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/internal/spool"
)

// model is the expected content of a spool: documents and sizes of audio, by id.
type model struct {
	documents map[string]string
	audio     map[string]int
}

func (m model) bytes() (n int64) {
	for id, d := range m.documents {
		n += int64(len(d) + m.audio[id])
	}
	return n
}

// compare compares a spool and its directory with the model.
func (m model) compare(t *testing.T, s *spool.Spool, dir string) {
	t.Helper()
	var want, have []string
	for _, id := range slices.Sorted(maps.Keys(m.documents)) {
		want = append(want, fmt.Sprintf("%s:%d:%v", id, len(m.documents[id])+m.audio[id], m.audio[id] > 0))
	}
	for _, e := range s.Entries() {
		have = append(have, fmt.Sprintf("%s:%d:%v", e.ID, e.Bytes, e.Audio))
	}
	if st := s.Stats(); !slices.Equal(want, have) || st.Bytes != m.bytes() || st.Entries != len(m.documents) {
		t.Fatalf("the spool holds %v, %+v\nand should hold %v, %d bytes", have, st, want, m.bytes())
	}
	var onDisk []string
	for _, id := range slices.Sorted(maps.Keys(m.documents)) {
		onDisk = append(onDisk, fmt.Sprintf("%s.json:%d", id, len(m.documents[id])))
		if m.audio[id] > 0 {
			onDisk = append(onDisk, fmt.Sprintf("%s.wav:%d", id, m.audio[id]))
		}
	}
	if got, want := files(t, dir), strings.Join(onDisk, " "); got != want {
		t.Fatalf("on the disk: %s\nwant:        %s", got, want)
	}
}

// Invariant: after any operations and restarts, the spool knows its entries and its size.
func TestTheAccountsAreRight(t *testing.T) {
	steps := 4000
	if testing.Short() {
		steps = 500
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	const most = 20_000
	cfg := spool.Config{MaxBytes: most}
	dir := t.TempDir()
	s, m := open(t, dir, cfg), model{map[string]string{}, map[string]int{}}
	broken := errors.New("broken")
	for range steps {
		id := fmt.Sprintf("entry-%02d", rng.IntN(40))
		document, audio := strings.Repeat("d", 1+rng.IntN(50)), 1+rng.IntN(2000)
		_, known := m.documents[id]
		switch op := rng.IntN(100); {
		case op < 40: // new, with audio
			err := s.Put(id, int64(audio), wav(audio), text(document))
			switch full := m.bytes()+int64(audio) > most; {
			case known || full:
				if err == nil {
					t.Fatalf("%s was taken: known %v, full %v", id, known, full)
				}
			case err != nil:
				t.Fatal(err)
			default:
				m.documents[id], m.audio[id] = document, audio
			}
		case op < 60: // a document
			if err := s.Put(id, 0, nil, text(document)); err != nil {
				t.Fatal(err)
			}
			m.documents[id] = document
			delete(m.audio, id)
		case op < 65:
			if err := s.Put(id, 1, func(f *os.File) error { return errors.Join(wav(audio)(f), broken) }, text(document)); err == nil {
				t.Fatal("broken audio was taken")
			}
		case op < 70:
			if err := s.Put(id, 1, wav(audio), func() ([]byte, error) { return nil, broken }); err == nil {
				t.Fatal("a broken document was taken")
			}
		case op < 95:
			if err := s.Remove(id); err != nil {
				t.Fatal(err)
			}
			delete(m.documents, id)
			delete(m.audio, id)
		default:
			m.compare(t, s, dir)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if s, err = spool.Open(dir, cfg); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			m.compare(t, s, dir)
		}
	}
	m.compare(t, s, dir)
}
