// Package spool keeps what was recorded in a folder until it is in the database and in the audio store. An entry that
// Put has returned for survives the end of the process and of the machine: that is the promise on which the rest builds.
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Errors of Put that mean that the entry was not taken because there is no room, and others will not be either.
var (
	ErrNoSpace = errors.New("the disk is too full to record")
	ErrFull    = errors.New("the spool is full")
)

// Config says how large a spool may grow. Zero values mean no bound.
type Config struct {
	// MinFree is how many bytes must stay free on the disk. They are for the database, which must go on when recording
	// cannot.
	MinFree int64
	// MaxBytes is how much the spool may hold.
	MaxBytes int64
	// Free tells how many bytes are free where a folder is. Default: asks the system.
	Free func(dir string) (int64, error)
	Log  *slog.Logger
}

// Spool is a folder of entries, each a JSON document and, perhaps, a WAV file. It is safe for concurrent use; entries of
// the same id must not be written by two goroutines at a time.
type Spool struct {
	cfg  Config
	dir  string
	root *os.Root

	mu      sync.Mutex
	entries map[string]Entry
	bytes   int64
	pending int64 // room that is taken by audio that is being written
}

// Entry is what is known of an entry without opening it.
type Entry struct {
	ID    string
	Bytes int64 // of both files
	Audio bool  // there is a WAV file
	At    time.Time
}

const (
	metaSuffix  = ".json"
	audioSuffix = ".wav"
	tempSuffix  = ".tmp"
	orphans     = "orphans"
)

// Open takes stock of a folder, which it makes if need be. Files that were not finished when the process ended are
// removed, for nothing was promised of them; audio without its document is moved aside and logged.
func Open(dir string, cfg Config) (*Spool, error) {
	if cfg.Free == nil {
		cfg.Free = free
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the spool: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	s := &Spool{cfg: cfg, dir: dir, root: root, entries: map[string]Entry{}}
	if err := s.stock(); err != nil {
		return nil, errors.Join(fmt.Errorf("take stock of the spool %s: %w", dir, err), root.Close())
	}
	return s, nil
}

func (s *Spool) stock() error {
	files, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	audio := map[string]int64{}
	for _, f := range files {
		name := f.Name()
		info, err := f.Info()
		if err != nil {
			return err
		}
		switch id, suffix := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name); {
		case f.IsDir():
		case suffix == tempSuffix:
			if err := s.root.Remove(name); err != nil {
				return err
			}
		case !valid(id):
			s.cfg.Log.Warn("a file in the spool is none of its own and is left there", "file", filepath.Join(s.dir, name))
		case suffix == audioSuffix:
			audio[id] = info.Size()
		case suffix == metaSuffix:
			s.entries[id] = Entry{ID: id, Bytes: info.Size(), At: info.ModTime()}
		}
	}
	for id, size := range audio {
		e, ok := s.entries[id]
		if !ok {
			if err := s.moveAside(id + audioSuffix); err != nil {
				return err
			}
			s.cfg.Log.Error(
				"the spool holds audio without its document; it was moved aside",
				"file",
				filepath.Join(s.dir, orphans, id+audioSuffix),
				"hint",
				"it was never promised; keep it if it is evidence, or delete it",
			)
			continue
		}
		e.Audio = true
		e.Bytes += size
		s.entries[id] = e
	}
	for _, e := range s.entries {
		s.bytes += e.Bytes
	}
	return nil
}

func (s *Spool) moveAside(name string) error {
	if err := s.root.Mkdir(orphans, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.root.Rename(name, orphans+"/"+name)
}

// Close frees the folder.
func (s *Spool) Close() error { return s.root.Close() }

// Put writes an entry. When it returns nil, all of it is on the disk for good. audio, which may be nil, writes the WAV
// file, of about size bytes, of an entry that must be new; document is called afterwards. Without audio the document of an
// entry that is there is replaced, and its WAV file is let go of. After an error a new entry is not there, and one that was
// there still is. An error that wraps ErrNoSpace or ErrFull says that there is no room. A document without audio is so
// small that the room that is kept free is used for it too.
func (s *Spool) Put(id string, size int64, audio func(*os.File) error, document func() ([]byte, error)) (err error) {
	if !valid(id) {
		return fmt.Errorf("%q is no id of a spool entry", id)
	}
	s.mu.Lock()
	_, known := s.entries[id]
	s.mu.Unlock()
	e := Entry{ID: id, Audio: audio != nil}
	if audio != nil {
		if known {
			return fmt.Errorf("spool the audio of %s: %w", id, fs.ErrExist)
		}
		release, err := s.reserve(size)
		if err != nil {
			return err
		}
		defer release()
		if e.Bytes, err = s.write(id+audioSuffix, audio); err != nil {
			return fmt.Errorf("spool the audio of %s: %w", id, noSpace(err))
		}
	}
	defer func() {
		if err != nil && !known {
			err = errors.Join(err, s.delete(id+metaSuffix, id+audioSuffix))
		}
	}()
	text, err := document()
	if err != nil {
		return fmt.Errorf("spool %s: %w", id, err)
	}
	// The document comes last: where it is, the audio is whole.
	n, err := s.write(id+metaSuffix, func(f *os.File) error { _, err := f.Write(text); return err })
	if err != nil {
		return fmt.Errorf("spool %s: %w", id, noSpace(err))
	}
	e.Bytes += n
	if err := s.syncDir(); err != nil {
		return fmt.Errorf("spool %s: %w", id, err)
	}
	if audio == nil {
		if err := s.delete(id + audioSuffix); err != nil {
			return fmt.Errorf("spool %s: %w", id, err)
		}
	}
	e.At = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += e.Bytes - s.entries[id].Bytes
	s.entries[id] = e
	return nil
}

// reserve takes room for new audio until release is called, so that those who write at the same time do not count on the
// same room.
func (s *Spool) reserve(size int64) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(size); err != nil {
		return nil, err
	}
	s.pending += size
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pending -= size
	}, nil
}

// room tells whether so many bytes may be written. The lock must be held.
func (s *Spool) room(size int64) error {
	size += s.pending
	if s.cfg.MaxBytes > 0 && s.bytes+size > s.cfg.MaxBytes {
		return fmt.Errorf(
			"%w: it holds %d MB (hint: the database or the audio store takes nothing; bring it back, or raise spool.max_mb)",
			ErrFull,
			s.bytes/1e6,
		)
	}
	if s.cfg.MinFree <= 0 {
		return nil
	}
	left, err := s.cfg.Free(s.dir)
	if err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", s.dir, err)
	}
	if left-size < s.cfg.MinFree {
		return fmt.Errorf(
			"%w: %d MB are free, %d MB are kept for the database (hint: free space, or lower spool.min_free_mb)",
			ErrNoSpace,
			left/1e6,
			s.cfg.MinFree/1e6,
		)
	}
	return nil
}

// write makes a file that is whole or not there at all.
func (s *Spool) write(name string, fill func(*os.File) error) (size int64, err error) {
	temp := name + tempSuffix
	f, err := s.root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.root.Remove(temp))
		}
	}()
	if err = fill(f); err == nil {
		err = f.Sync()
	}
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil {
			size = info.Size()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return size, s.root.Rename(temp, name)
}

// delete removes files. Those that are not there are no error.
func (s *Spool) delete(names ...string) error {
	var errs []error
	for _, name := range names {
		if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncDir makes the names of new files last.
func (s *Spool) syncDir() error {
	d, err := s.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Entries lists what is there, by id.
func (s *Spool) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.entries), func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
}

// Entry is what is known of an entry.
func (s *Spool) Entry(id string) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[id]
	return e, ok
}

// Document reads the document of an entry. The error wraps fs.ErrNotExist if there is none.
func (s *Spool) Document(id string) ([]byte, error) {
	if !valid(id) {
		return nil, fmt.Errorf("%q is no id of a spool entry: %w", id, fs.ErrNotExist)
	}
	return s.root.ReadFile(id + metaSuffix)
}

// AudioPath is where the WAV file of an entry is.
func (s *Spool) AudioPath(id string) string { return filepath.Join(s.dir, id+audioSuffix) }

// Remove lets go of an entry. One that is not there is no error.
func (s *Spool) Remove(id string) error {
	if !valid(id) {
		return nil
	}
	// The audio goes first: a document alone is taken up again, and found to be dealt with.
	for _, suffix := range []string{audioSuffix, metaSuffix} {
		if err := s.delete(id + suffix); err != nil {
			return fmt.Errorf("remove %s from the spool: %w", id, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.entries[id].Bytes
	delete(s.entries, id)
	return nil
}

// Stats is the state of a spool.
type Stats struct {
	Entries int
	Bytes   int64
	Free    int64     // on the disk; -1 if the system does not say
	Oldest  time.Time // of the oldest entry with audio; zero if there is none
}

// Stats tells how full the spool is.
func (s *Spool) Stats() Stats {
	left, err := s.cfg.Free(s.dir)
	if err != nil {
		left = -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Entries: len(s.entries), Bytes: s.bytes, Free: left}
	for _, e := range s.entries {
		if e.Audio && (st.Oldest.IsZero() || e.At.Before(st.Oldest)) {
			st.Oldest = e.At
		}
	}
	return st
}

// Room is an error if nothing more can be recorded.
func (s *Spool) Room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room(0)
}

func valid(id string) bool {
	if id == "" || len(id) > 200 {
		return false
	}
	for _, b := range []byte(id) {
		switch {
		case 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '-':
		default:
			return false
		}
	}
	return true
}
