package audio_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"callscreen/internal/audio"
	"callscreen/internal/seal"
)

// Plain audio stays readable after keys are configured, and plain audio in the spool is encrypted on its way to the
// store.
func TestAudioFromBeforeThereWasAKey(t *testing.T) {
	secret, _, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	below, err := audio.NewFolder(filepath.Join(temp, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	spooled := filepath.Join(temp, "s.wav")
	data := bytes.Repeat([]byte("RIFF in the clear "), 5000)
	if err := os.WriteFile(spooled, data, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, with := audio.Sealed(below, nil, temp), audio.Sealed(below, keys, temp)
	ctx := t.Context()
	if err := errors.Join(
		plain.Put(ctx, "aa/old.wav", spooled),
		with.Put(ctx, "bb/new.wav", spooled),
		with.Put(ctx, "bb/new.wav", spooled),
	); err != nil {
		t.Fatal(err)
	}
	read := func(s audio.Store, key string) ([]byte, error) {
		o, size, err := s.Open(ctx, key)
		if err != nil {
			return nil, err
		}
		got, err := io.ReadAll(o)
		if int64(len(got)) != size {
			t.Errorf("%s: %d bytes, %d were announced", key, len(got), size)
		}
		return got, errors.Join(err, o.Close())
	}
	for _, key := range []string{"aa/old.wav", "bb/new.wav"} {
		if got, err := read(with, key); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
	if got, err := read(below, "bb/new.wav"); err != nil || bytes.Contains(got, data[:40]) {
		t.Errorf("it is not sealed: %v", err)
	}
	if _, err := read(plain, "bb/new.wav"); !errors.Is(err, seal.ErrKey) {
		t.Errorf("without the key: %v", err)
	}
	if _, err := read(with, "cc/none.wav"); !errors.Is(err, audio.ErrNotFound) {
		t.Error(err)
	}
	if err := with.Put(ctx, "cc/none.wav", filepath.Join(temp, "none.wav")); !errors.Is(err, audio.ErrNotFound) {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(temp, "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
