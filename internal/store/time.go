package store

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"
)

// sharedClock is the clock of a PostgreSQL server as last read, moved on by monotonic time.
type sharedClock struct {
	at   time.Time // of the server
	read time.Time // with a monotonic reading
}

// databaseNow returns the time of the database server, or that of the machine before it was read.
func (s *Store) databaseNow() time.Time {
	c := s.server.Load()
	if c == nil {
		return time.Now()
	}
	return c.at.Add(time.Since(c.read))
}

// Now returns the time for records: that of the database server if there is one, so that all nodes agree.
func (s *Store) Now() time.Time { return s.shared.Now() }

// Due returns the time that waits and leases are compared with. All nodes of a PostgreSQL database share it. With SQLite it
// does not jump when the clock of the machine is set.
func (s *Store) Due() time.Time {
	if s.postgres {
		return s.shared.Now().UTC()
	}
	return s.shared.Steady().UTC()
}

// Since returns the age of a record that was stamped with Now. A clock that is set does not make it too large.
func (s *Store) Since(stamp time.Time) time.Duration { return s.shared.Since(stamp) }

// Earliest returns a time for deletions that cannot be undone: a clock that was set ahead does not bring them forward.
func (s *Store) Earliest() time.Time { return s.shared.Earliest().UTC() }

// ClockJump is a clock that was set.
type ClockJump struct {
	Clock string // "machine" or "database"
	By    time.Duration
}

// CheckClocks returns the clocks that were set since the last check. It must be called every few seconds.
func (s *Store) CheckClocks() (jumps []ClockJump) {
	for _, by := range s.machine.Check() {
		jumps = append(jumps, ClockJump{"machine", by})
	}
	if s.shared != s.machine {
		for _, by := range s.shared.Check() {
			jumps = append(jumps, ClockJump{"database", by})
		}
	}
	return jumps
}

// ClockOffset returns how far the clock of this machine is ahead of that of the database server, 0 for SQLite.
func (s *Store) ClockOffset() time.Duration {
	if !s.postgres || s.server.Load() == nil {
		return 0
	}
	return s.machine.Now().Sub(s.shared.Now())
}

// readClock reads the time of the database server.
func (s *Store) readClock(ctx context.Context) error {
	if !s.postgres {
		return nil
	}
	var us int64
	start := time.Now()
	if err := s.db.QueryRowContext(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").Scan(&us); err != nil {
		return fmt.Errorf("read the clock of the database: %w", err)
	}
	s.serverSaid(us, start)
	return nil
}

// serverSaid notes the time of the server, in microseconds since 1970, in the middle of a query that started then.
func (s *Store) serverSaid(us int64, start time.Time) {
	s.server.Store(&sharedClock{at: time.UnixMicro(us).Add(time.Since(start) / 2), read: time.Now()})
}

// queueTime makes the job queue use the time of the store.
type queueTime struct{ s *Store }

// Now implements rivertype.TimeGenerator.
func (q queueTime) Now() time.Time { return q.s.Due() }

// NowOrNil implements rivertype.TimeGenerator. The queries of the job queue get this time rather than take their own.
func (q queueTime) NowOrNil() *time.Time {
	now := q.s.Due()
	return &now
}

// QueueTime returns the setting by which a client of the job queue uses the time of the store.
func (s *Store) QueueTime() river.TestConfig { return river.TestConfig{Time: queueTime{s}} }

// longestWait is longer than every wait of the retry schedule.
const longestWait = 90 * time.Second

// PullIn makes jobs and first deliveries due that wait longer than any schedule asks for: the clock was set back since they
// were stored. It returns their number.
func (s *Store) PullIn(ctx context.Context) (n int64, err error) {
	now := s.Due()
	err = s.InTx(ctx, func(t *Tx) error {
		jobs, err := t.exec(
			ctx,
			"UPDATE river_job SET scheduled_at = $1 WHERE kind = 'segment' AND state IN ('available', 'scheduled', 'retryable') "+
				"AND scheduled_at > $2",
			s.queueStamp(now),
			s.queueStamp(now.Add(longestWait)),
		)
		if err != nil {
			return fmt.Errorf("pull in jobs: %w", err)
		}
		deliveries, err := t.exec(
			ctx,
			"UPDATE webhook_delivery SET next_ms = $1 WHERE state = 'pending' AND attempts = 0 AND next_ms > $1",
			millis(now),
		)
		if err != nil {
			return fmt.Errorf("pull in deliveries: %w", err)
		}
		n = jobs + deliveries
		return nil
	})
	return n, err
}

// queueStamp returns a time in the form of the columns of the job queue.
func (s *Store) queueStamp(t time.Time) any {
	if s.postgres {
		return t
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}
