package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// SQLite overwrites deleted rows with zeros (secure_delete). Copies remain in two places: in the WAL until a checkpoint
// truncates it, and in the unused part of pages whose rows have moved to other pages, until VACUUM rewrites the file. The
// user_version of the database reports whether the second kind is possible.
const (
	versionOld   = 0 // of a time without secure_delete
	versionClean = 1
	versionDirty = 2 // rows were erased since the last VACUUM
)

const (
	// smallFile is the size up to which VACUUM takes about a second, so that other statements can wait for it.
	smallFile = 64 << 20
	// vacuumEvery is the shortest time between two VACUUMs of a larger file. Smaller ones wait for vacuumPerMB.
	vacuumEvery = 24 * time.Hour
	vacuumPerMB = 10 * time.Second
	// readersWait is the time that a checkpoint waits for readers.
	readersWait = 250 * time.Millisecond
)

// ErrUnscrubbed reports that copies of erased rows may remain in the files of SQLite.
var ErrUnscrubbed = errors.New("copies of erased data may remain in the database files")

// unclean marks the file: rows were erased from it.
func (t *Tx) unclean(ctx context.Context) error {
	if t.s.postgres {
		return nil
	}
	_, err := t.tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", versionDirty))
	return err
}

// Checkpoint writes the WAL of SQLite to the database and empties it, so that it holds no erased rows. If readers are in the
// way, Scrub tries again.
func (s *Store) Checkpoint(ctx context.Context) {
	if s.postgres {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	s.unwritten.Store(false) // an erasure that commits meanwhile sets it again
	if busy, err := s.truncateWAL(ctx); err != nil || busy {
		s.unwritten.Store(true)
	}
}

func (s *Store) truncateWAL(ctx context.Context) (busy bool, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return true, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", readersWait.Milliseconds())); err != nil {
		return true, err
	}
	var pages, moved int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	_, again := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds()))
	return busy, errors.Join(err, again)
}

// Scrub removes copies of erased rows from the files of SQLite. idle means that other statements can wait for the rewrite of
// a large file, free is the space on its disk that may be used. The error is ErrUnscrubbed if copies may remain; a later call
// may succeed.
func (s *Store) Scrub(ctx context.Context, idle bool, free int64) error {
	if s.postgres {
		return nil
	}
	return s.scrub(ctx, idle, free, false)
}

func (s *Store) scrub(ctx context.Context, idle bool, free int64, atEnd bool) error {
	vacuum, err := s.vacuum(ctx, idle, free, atEnd)
	if s.unwritten.Load() {
		s.Checkpoint(ctx)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnscrubbed, err)
	case s.unwritten.Load():
		return fmt.Errorf("%w: a reader keeps the WAL from being emptied", ErrUnscrubbed)
	case vacuum:
		return fmt.Errorf("%w: the file waits for an idle minute, or for space, to be rewritten", ErrUnscrubbed)
	}
	return nil
}

// Unclean reports whether the unused parts of the file of SQLite may hold copies of erased rows.
func (s *Store) Unclean(ctx context.Context) (bool, error) {
	if s.postgres {
		return false, nil
	}
	version := versionClean
	if err := s.reader.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, fmt.Errorf("read the state of the database file: %w", err)
	}
	return version != versionClean, nil
}

// vacuum rewrites the file if rows were erased from it. It reports whether that is still to be done.
func (s *Store) vacuum(ctx context.Context, idle bool, free int64, atEnd bool) (open bool, err error) {
	if unclean, err := s.Unclean(ctx); err != nil || !unclean {
		return false, err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return true, err
	}
	small, interval := info.Size() <= smallFile, vacuumEvery
	if small {
		interval = time.Duration(info.Size()>>20) * vacuumPerMB
	}
	recent := !s.vacuumed.IsZero() && time.Since(s.vacuumed) < interval && !atEnd
	if !small && !idle || recent || free < 3*info.Size() {
		return true, nil
	}
	s.vacuumed = time.Now()
	s.unwritten.Store(true)
	// An erasure between the two statements would be taken for clean: they share the one connection for writes.
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return true, err
	}
	defer conn.Close()
	if small { // its copy needs no file outside of data_dir
		if _, err := conn.ExecContext(ctx, "PRAGMA temp_store = MEMORY"); err != nil {
			return true, err
		}
		defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA temp_store = DEFAULT") }()
	}
	if _, err := conn.ExecContext(ctx, "VACUUM"); err != nil {
		return true, fmt.Errorf("rewrite the database: %w", err)
	}
	_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", versionClean))
	return err != nil, err
}

// scrubAtEnd removes copies of erased rows at the end of a process, if that is quick. The end of the last connection empties
// the WAL.
func (s *Store) scrubAtEnd() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.scrub(ctx, false, smallFile*3, true); err != nil {
		s.log.Info("database files not scrubbed at the end, the next start does it", "error", err)
	}
}

// prepareFile sets the state of a database that this process owns. A process that was killed may have left erased rows in
// the WAL.
func (s *Store) prepareFile(ctx context.Context, fresh bool) error {
	if fresh {
		if _, err := s.db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", versionClean)); err != nil {
			return fmt.Errorf("database: %w", err)
		}
	}
	s.Checkpoint(ctx)
	return nil
}

func sqlitePath(dir string) string { return filepath.Join(dir, fileName) }
