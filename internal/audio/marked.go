package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"callscreen/internal/wait"
)

// ErrForeign reports that the store is not the one that the database knows: a directory that is not mounted, or another
// bucket.
var ErrForeign = errors.New("this is not the audio store that the other nodes use")

// MarkerKey is the key of the object that identifies a store.
const MarkerKey = "callscreen-store.txt"

// markerMost bounds the read of a marker.
const markerMost = 200

// Marked wraps a store that several nodes share. Every operation first compares the marker in the store with the identity
// that the database has. In a store without the marker nothing is missing and nothing is stored: ErrForeign is returned, and
// another node does the work.
type Marked struct {
	Store
	cfg MarkedConfig

	mu       sync.Mutex
	identity string // "" until the database was asked
	err      error  // of the last check
}

// MarkedConfig describes the database of a Marked store.
type MarkedConfig struct {
	// Identity returns the identity in the database, which it sets to the proposal if there is none.
	Identity func(ctx context.Context, proposal string) (string, error)
	// Samples returns keys of audio that the store must have, none if it has no audio yet.
	Samples func(ctx context.Context) ([]string, error)
	// Proposal is the identity of a new store.
	Proposal string
	// Temp is a directory for the file of the marker.
	Temp string
}

// NewMarked returns a Marked store. Nothing is read before the first Verify or operation.
func NewMarked(in Store, cfg MarkedConfig) *Marked {
	return &Marked{Store: in, cfg: cfg, err: errors.New("the audio store was not checked yet")}
}

// Close closes the store.
func (m *Marked) Close() error {
	if c, ok := m.Store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Fault returns the error of the last check of the marker, nil if the store is the right one.
func (m *Marked) Fault() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Verify compares the marker with the database, and writes it into a store that is new or holds the known audio. It returns
// an error that wraps ErrForeign if the store is another one.
func (m *Marked) Verify(ctx context.Context) (err error) {
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.err = err
	}()
	found, err := m.marker(ctx)
	if again, ok := m.Store.(interface{ Reopen() error }); ok && errors.Is(err, ErrNotFound) {
		if err := again.Reopen(); err != nil {
			return err
		}
		found, err = m.marker(ctx)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("read the marker of the audio store: %w", err)
	}
	m.mu.Lock()
	want := m.identity
	m.mu.Unlock()
	if want == "" || found != want {
		proposal := found // a store that was used with another database before
		if proposal == "" {
			proposal = m.cfg.Proposal
		}
		if want, err = m.cfg.Identity(ctx, proposal); err != nil {
			return fmt.Errorf("read the identity of the audio store: %w", err)
		}
		m.mu.Lock()
		m.identity = want
		m.mu.Unlock()
	}
	switch found {
	case want:
		return nil
	case "":
		return m.mark(ctx, want)
	}
	return fmt.Errorf("%w: %s has %q instead of %q (hint: check the key audio)", ErrForeign, MarkerKey, found, want)
}

// marker reads the marker.
func (m *Marked) marker(ctx context.Context) (string, error) {
	o, _, err := m.Store.Open(ctx, MarkerKey)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(o, markerMost))
	return strings.TrimSpace(string(data)), errors.Join(err, o.Close())
}

// mark writes the marker into a store without one: if it has known audio, or if this process has just made the identity and
// there is no audio yet. Without either, a store that looks new is one that is not mounted.
func (m *Marked) mark(ctx context.Context, identity string) error {
	keys, err := m.cfg.Samples(ctx)
	if err != nil {
		return fmt.Errorf("look for known audio: %w", err)
	}
	seen := len(keys) == 0 && identity == m.cfg.Proposal
	for _, key := range keys {
		o, _, err := m.Store.Open(ctx, key)
		if err == nil {
			seen = true
			err = o.Close()
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("look for known audio: %w", err)
		}
	}
	if !seen {
		return fmt.Errorf(
			"%w: it has no %s and none of the known audio (hint: mount it, or check the key audio; "+
				"if it shall be used, put a file of this name with the text %s into it)",
			ErrForeign,
			MarkerKey,
			identity,
		)
	}
	file := filepath.Join(m.cfg.Temp, MarkerKey+".tmp")
	if err := os.WriteFile(file, []byte(identity+"\n"), 0o600); err != nil {
		return fmt.Errorf("mark the audio store: %w", err)
	}
	defer func() { _ = os.Remove(file) }()
	if err := m.Store.Put(ctx, MarkerKey, file); err != nil {
		return fmt.Errorf("mark the audio store: %w", err)
	}
	if found, err := m.marker(ctx); err != nil || found != identity {
		return fmt.Errorf("mark the audio store: the marker reads as %q: %w", found, errors.Join(err, ErrForeign))
	}
	return nil
}

// Put implements Store.
func (m *Marked) Put(ctx context.Context, key, file string) error {
	if err := m.Verify(ctx); err != nil {
		return fmt.Errorf("store audio %s: %w", key, err)
	}
	return m.Store.Put(ctx, key, file)
}

// Open implements Store. Audio is missing only from the right store.
func (m *Marked) Open(ctx context.Context, key string) (Object, int64, error) {
	o, size, err := m.Store.Open(ctx, key)
	if errors.Is(err, ErrNotFound) {
		if foreign := m.Verify(ctx); foreign != nil {
			return nil, 0, fmt.Errorf("read audio %s: %w", key, foreign)
		}
	}
	return o, size, err
}

// Delete implements Store.
func (m *Marked) Delete(ctx context.Context, key string) error {
	if err := m.Verify(ctx); err != nil {
		return fmt.Errorf("delete audio %s: %w", key, err)
	}
	return m.Store.Delete(ctx, key)
}

// Check implements Store.
func (m *Marked) Check(ctx context.Context) error {
	return errors.Join(m.Store.Check(ctx), m.Verify(ctx))
}

const (
	// checkEvery is the interval between checks of the marker.
	checkEvery = 5 * time.Second
	// checkTime bounds one check.
	checkTime = 10 * time.Second
)

// Watch checks the marker until the context ends. changed, which may be nil, is called when the outcome changes.
func (m *Marked) Watch(ctx context.Context, changed func(error)) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	failed := false
	check := func() error {
		limited, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		return m.Verify(limited)
	}
	for {
		err := check()
		if err != nil && !failed { // the node that makes the identity may be about to write the marker
			_ = wait.For(ctx, time.Second)
			err = check()
		}
		if ctx.Err() != nil {
			return
		}
		if failed != (err != nil) && changed != nil {
			changed(err)
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
