// Package spool stores recordings in a local directory until they are in the database and in the audio store. An entry
// survives the end of the process and of the machine as soon as Put has returned for it. The durable half of the
// program relies on this guarantee.
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

// Errors of Put for lack of space. Other entries will fail with them too.
var (
	ErrNoSpace = errors.New("the disk is too full to record")
	ErrFull    = errors.New("the spool is full")
)

// Config limits a spool. Zero values mean no limit.
type Config struct {
	// MinFree is the number of bytes that must stay free on the disk, so that the database can still write when recording
	// cannot.
	MinFree int64
	// MaxBytes is the largest size of the spool.
	MaxBytes int64
	// Free returns the free bytes on the disk of a directory. Default: asks the system.
	Free func(dir string) (int64, error)
	Log  *slog.Logger
}

// Spool is a directory of entries. Each is a JSON document with an optional WAV file. It is safe for concurrent use,
// but only one goroutine at a time may write entries with the same id.
type Spool struct {
	cfg  Config
	dir  string
	root *os.Root

	mu      sync.Mutex
	entries map[string]Entry
	bytes   int64
	pending int64 // space reserved for audio being written
	health  health
}

// Entry describes an entry without opening it.
type Entry struct {
	ID    string
	Bytes int64 // of both files
	Audio bool  // has a WAV file
	At    time.Time
}

const (
	metaSuffix  = ".json"
	audioSuffix = ".wav"
	tempSuffix  = ".tmp"
	orphans     = "orphans"
)

// Open opens a directory, which it creates if necessary, and lists its entries. It removes unfinished files, which were
// never confirmed. It moves audio without a document aside and logs it.
func Open(dir string, cfg Config) (*Spool, error) {
	if cfg.Free == nil {
		cfg.Free = free
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create spool: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{cfg: cfg, dir: dir, root: root, entries: map[string]Entry{}}
	if err := s.stock(); err != nil {
		return nil, errors.Join(fmt.Errorf("read spool %s: %w", dir, err), root.Close())
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
			s.cfg.Log.Warn("unknown file in spool ignored", "file", filepath.Join(s.dir, name))
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
				"spooled audio without document moved aside",
				"file",
				filepath.Join(s.dir, orphans, id+audioSuffix),
				"hint",
				"it was never confirmed; keep it as evidence, or delete it",
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

// Close closes the directory.
func (s *Spool) Close() error { return s.root.Close() }

// Put writes an entry durably. On nil all of it is on disk.
//
// audio writes the WAV file, of about size bytes. It may be nil; otherwise the entry must be new. document is called
// after audio. Without audio, Put replaces the document of an existing entry and deletes its WAV file.
//
// After an error a new entry does not exist, and an existing entry is unchanged. An error wraps ErrNoSpace or ErrFull
// for lack of space. Documents without audio are small, so they may use the space that is kept free.
func (s *Spool) Put(id string, size int64, audio func(*os.File) error, document func() ([]byte, error)) (err error) {
	if !valid(id) {
		return fmt.Errorf("%q is not a valid spool id", id)
	}
	s.mu.Lock()
	_, known := s.entries[id]
	s.mu.Unlock()
	e := Entry{ID: id, Audio: audio != nil}
	if audio != nil {
		if known {
			return fmt.Errorf("spool audio of %s: %w", id, fs.ErrExist)
		}
		release, err := s.reserve(size)
		if err != nil {
			return err
		}
		defer release()
		if e.Bytes, err = s.write(id+audioSuffix, size, audio); err != nil {
			return fmt.Errorf("spool audio of %s: %w", id, err)
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
	// The document is written last: if it exists, the audio is complete.
	n, err := s.write(id+metaSuffix, int64(len(text)), func(f *os.File) error { _, err := f.Write(text); return err })
	if err != nil {
		return fmt.Errorf("spool %s: %w", id, err)
	}
	e.Bytes += n
	if err := s.syncDir(); err != nil {
		return fmt.Errorf("spool %s: %w", id, s.wrote(size, err))
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

// reserve reserves space for new audio until release is called, so that concurrent writers do not use the same space.
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

// room returns an error unless size bytes may be written. The caller must hold the lock.
func (s *Spool) room(size int64) error {
	size += s.pending
	if s.cfg.MaxBytes > 0 && s.bytes+size > s.cfg.MaxBytes {
		return fmt.Errorf(
			"%w: it holds %d MB (hint: check the database and the audio store, or raise spool.max_mb)",
			ErrFull,
			s.bytes/1e6,
		)
	}
	if s.cfg.MinFree <= 0 {
		return nil
	}
	left, err := s.cfg.Free(s.dir)
	if err != nil {
		return fmt.Errorf("read free space of %s: %w", s.dir, err)
	}
	if left-size < s.cfg.MinFree {
		return fmt.Errorf(
			"%w: %d MB free, %d MB reserved for the database (hint: free space, or lower spool.min_free_mb)",
			ErrNoSpace,
			left/1e6,
			s.cfg.MinFree/1e6,
		)
	}
	return nil
}

// write creates a file of about the wanted size atomically: it is complete or absent.
func (s *Spool) write(name string, want int64, fill func(*os.File) error) (size int64, err error) {
	defer func() { err = s.wrote(want, err) }()
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

// delete removes files. Missing files are not an error.
func (s *Spool) delete(names ...string) error {
	var errs []error
	for _, name := range names {
		if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncDir makes the names of new files durable.
func (s *Spool) syncDir() error {
	d, err := s.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Entries returns all entries, sorted by id.
func (s *Spool) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.entries), func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
}

// Entry returns an entry, and false if there is none.
func (s *Spool) Entry(id string) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[id]
	return e, ok
}

// Document reads the document of an entry. The error wraps fs.ErrNotExist if there is none.
func (s *Spool) Document(id string) ([]byte, error) {
	if !valid(id) {
		return nil, fmt.Errorf("%q is not a valid spool id: %w", id, fs.ErrNotExist)
	}
	return s.root.ReadFile(id + metaSuffix)
}

// AudioPath returns the path of the WAV file of an entry.
func (s *Spool) AudioPath(id string) string { return filepath.Join(s.dir, id+audioSuffix) }

// Remove deletes an entry. A missing entry is not an error.
func (s *Spool) Remove(id string) error {
	if !valid(id) {
		return nil
	}
	// The audio goes first: a document alone is processed again without harm.
	for _, suffix := range []string{audioSuffix, metaSuffix} {
		if err := s.delete(id + suffix); err != nil {
			return fmt.Errorf("remove %s from spool: %w", id, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.entries[id].Bytes
	delete(s.entries, id)
	return nil
}

// RemoveAudio deletes the WAV file of an entry and keeps its document.
func (s *Spool) RemoveAudio(id string) error {
	if !valid(id) {
		return nil
	}
	info, err := s.root.Stat(id + audioSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.delete(id + audioSuffix)
	}
	if err != nil {
		return fmt.Errorf("remove audio of %s from spool: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	s.bytes -= info.Size()
	e.Audio, e.Bytes = false, e.Bytes-info.Size()
	s.entries[id] = e
	return nil
}

// Stats describes the use of a spool.
type Stats struct {
	Entries int
	Bytes   int64
	Free    int64     // on the disk; -1 if unknown
	Oldest  time.Time // of the oldest entry with audio; zero if none
}

// Stats returns the current use.
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

// Room returns an error if nothing can be recorded: there is no space, or the last write failed, whatever the free space.
func (s *Spool) Room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.written(); err != nil {
		return err
	}
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
