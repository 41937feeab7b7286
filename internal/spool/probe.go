package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrUnwritable reports that the disk refuses writes although it has space, for example because it was mounted read-only.
var ErrUnwritable = errors.New("the disk refuses writes")

const (
	probeName = "probe" + tempSuffix // removed at the next Open if it stays
	// probeEvery is the interval between attempts to write while the last write failed.
	probeEvery = 2 * time.Second
	// probeIdle is the time without a write after which one is tried, so that a fault shows before a call needs the disk.
	probeIdle = 10 * time.Second
	// probeSlow is the time after which a write that has not returned counts as failed.
	probeSlow  = 15 * time.Second
	probeLeast = 64 << 10
	probeMost  = 1 << 20
)

// health is the outcome of the last write.
type health struct {
	err    error // nil: it succeeded
	size   int64 // of the write that failed
	at     time.Time
	probes time.Time // start of a probe that has not returned, zero if none
}

// wrote notes the outcome of a write of about size bytes, and returns its error with the fault and a hint.
func (s *Spool) wrote(size int64, err error) error {
	if err = noSpace(err); err != nil && !errors.Is(err, ErrNoSpace) {
		err = fmt.Errorf("%w: %w (hint: check the mount options, quota and health of the disk of data_dir)", ErrUnwritable, err)
	}
	s.mu.Lock()
	was := s.health.err
	s.health.err, s.health.at = err, time.Now()
	if err != nil {
		s.health.size = size
	}
	s.mu.Unlock()
	switch {
	case err != nil && was == nil:
		s.cfg.Log.Error("spool write failed, no new calls are accepted", "error", err)
	case err == nil && was != nil:
		s.cfg.Log.Info("spool write succeeded again, calls are accepted")
	}
	return err
}

// written returns the error of the last write, also of one that does not return. The lock must be held.
func (s *Spool) written() error {
	if p := s.health.probes; !p.IsZero() && time.Since(p) > probeSlow {
		return fmt.Errorf("%w: a write has not returned for %v (hint: check the disk of data_dir)", ErrUnwritable, probeSlow)
	}
	return s.health.err
}

// Probe writes a file and removes it, and notes whether that succeeded.
func (s *Spool) Probe() error {
	s.mu.Lock()
	size := min(max(s.health.size, probeLeast), probeMost)
	s.health.probes = time.Now()
	s.mu.Unlock()
	err := s.tryWrite(size)
	s.mu.Lock()
	s.health.probes = time.Time{}
	s.mu.Unlock()
	return s.wrote(size, err)
}

// tryWrite takes an inode and the blocks of an entry, which a full file system or quota refuses in different calls.
func (s *Spool) tryWrite(size int64) error {
	f, err := s.root.OpenFile(probeName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(make([]byte, size)); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), s.root.Remove(probeName))
}

// Watch probes the disk until the context ends: often after a failed write, seldom without writes.
func (s *Spool) Watch(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		due := s.health.err != nil || time.Since(s.health.at) >= probeIdle
		s.mu.Unlock()
		if due {
			_ = s.Probe() // Room returns it
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
