// Package store holds the state of all calls, in SQLite for one machine or in PostgreSQL for several, with the same
// tables and queries. Recordings, submissions, scores and decisions are rows. A job of the queue only wakes up the
// segment whose row it names.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	_ "modernc.org/sqlite" // the SQLite driver

	"callscreen/internal/address"
	"callscreen/internal/clock"
)

// Errors that callers check for.
var (
	ErrNotFound = errors.New("no such record")
	ErrInUse    = errors.New("another callscreen process uses this data_dir")
	ErrSettled  = errors.New("the segment is already settled")
	ErrOtherJob = errors.New("the segment has another job now")
	ErrConflict = errors.New("it was changed meanwhile")
	ErrSchema   = errors.New("the database schema does not match this version")
)

// Options locates the database.
type Options struct {
	// URL is a PostgreSQL URL with its password. "" means SQLite in Dir.
	URL string
	// Dir is the directory of the SQLite database. It must exist.
	Dir string
	// Owner locks the directory for this process, also with PostgreSQL, because the spool is there too. It updates the
	// tables of SQLite. Tools that read the database of a running sidecar leave it false.
	Owner bool
	// MaxConns limits the connections to PostgreSQL. Default: DefaultConns.
	MaxConns int
	// Lookup, if not nil, resolves the host of the database, for tests.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// ExportStall limits the visit of a row during an export. Default: a minute.
	ExportStall time.Duration
	// Clock, if not nil, replaces the clock of the machine, for tests.
	Clock func() time.Time
	// Nodes states that several nodes share a SQLite database, and Wrap, if not nil, replaces its driver by one that wraps it.
	// Both are for simulations, in which all nodes are in one process.
	Nodes bool
	Wrap  func(driver.Driver) driver.Driver
	Log   *slog.Logger

	migrate bool
}

// Store is a database. It is safe for concurrent use.
type Store struct {
	db, reader  *sql.DB
	driver      riverdriver.Driver[*sql.Tx]
	jobs        *river.Client[*sql.Tx] // inserts only
	postgres    bool
	several     bool // nodes share the database
	lock        *os.File
	log         *slog.Logger
	exportStall time.Duration
	conns       int          // to PostgreSQL, at most
	bounded     bool         // transactions have a deadline
	machine     *clock.Clock // of this machine
	shared      *clock.Clock // of the database server, or that of the machine
	server      atomic.Pointer[sharedClock]
	node        atomic.Pointer[string] // nil before Join
	lease       atomic.Pointer[lease]  // nil before Join, and with SQLite

	path      string      // of the SQLite database
	fresh     bool        // this process has created it
	unwritten atomic.Bool // the WAL of SQLite may hold erased rows
	vacuumed  time.Time   // last rewrite of SQLite; used by Scrub alone
}

// fileName is the SQLite database in its directory.
const fileName = "callscreen.db"

// busyTimeout is the time that a statement of SQLite waits for another process.
const busyTimeout = 5 * time.Second

// Open opens a database. A PostgreSQL database must have been created by Migrate.
func Open(ctx context.Context, opt Options) (_ *Store, err error) {
	s := &Store{
		postgres: opt.URL != "",
		several:  opt.URL != "" || opt.Nodes,
		log:      opt.Log,
		bounded:  opt.Owner && opt.URL != "" || opt.Nodes,
		machine:  clock.New(opt.Clock),

		exportStall: opt.ExportStall,
	}
	s.shared = s.machine
	if opt.Nodes {
		s.shared = clock.New(nil)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if opt.Owner && opt.Dir != "" {
		if err = s.own(opt.Dir); err != nil {
			return nil, err
		}
	}
	if s.postgres {
		if err = s.openPostgres(opt); err != nil {
			return nil, err
		}
		s.driver = riverdatabasesql.New(s.db)
	} else if err = s.openSQLite(opt); err != nil {
		return nil, err
	}
	if err = s.db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("database: %w", withoutPassword(err, opt.URL))
	}
	if s.postgres {
		if err = s.readClock(ctx); err != nil {
			return nil, withoutPassword(err, opt.URL)
		}
		s.shared = clock.New(s.databaseNow)
	}
	if opt.migrate || !s.postgres && opt.Owner {
		if err = s.Migrate(ctx); err != nil {
			return nil, err
		}
	} else if err = s.checkSchema(ctx); err != nil {
		return nil, err
	}
	if !s.postgres && opt.Owner {
		if err = s.prepareFile(ctx, s.fresh); err != nil {
			return nil, err
		}
	}
	if s.jobs, err = river.NewClient(s.driver, &river.Config{Logger: slog.New(slog.DiscardHandler), Test: s.QueueTime()}); err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return s, nil
}

// withoutPassword removes the passwords of the database from an error. They are in the user info, or parameters.
func withoutPassword(err error, from string) error {
	u, e := url.Parse(from)
	if from == "" {
		return err
	}
	text := address.Text(err.Error())
	if e != nil {
		return errors.New(text) // such an address is shown only as part of a URL
	}
	var secrets []string
	if p, ok := u.User.Password(); ok {
		_, encoded, _ := strings.Cut(u.User.String(), ":")
		secrets = append(secrets, p, encoded)
	}
	for key, values := range u.Query() {
		if strings.Contains(key, "password") {
			secrets = append(secrets, values...)
		}
	}
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// own locks a directory until Close or the end of the process.
func (s *Store) own(dir string) (err error) {
	if s.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a descriptor is small
		return fmt.Errorf("%w: %s (hint: give each process its own data_dir, or share PostgreSQL with the key database)", ErrInUse, dir)
	}
	return nil
}

func (s *Store) openSQLite(opt Options) (err error) {
	path := sqlitePath(opt.Dir)
	s.path = path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if !opt.Owner {
			return fmt.Errorf("there is no database in %s (hint: check data_dir, and that callscreen serve has run)", opt.Dir)
		}
		// SQLite would create it readable for all users.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
		if err := f.Close(); err != nil {
			return err
		}
		s.fresh = true
	}
	// Without the two time settings, the job queue stops east of Greenwich: it compares local times as text.
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_txlock=immediate&_timezone=UTC&_time_format=sqlite" +
		fmt.Sprintf("&_pragma=busy_timeout(%d)", busyTimeout.Milliseconds()) +
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=secure_delete(1)"
	if s.db, err = openSQLite(dsn, opt.Wrap); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	s.db.SetMaxOpenConns(1) // SQLite has one writer; more connections would only wait
	if s.reader, err = openSQLite(dsn+"&_pragma=query_only(1)", opt.Wrap); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	s.reader.SetMaxOpenConns(4)
	s.driver = riversqlite.New(s.db)
	return nil
}

// openSQLite opens a database by the driver, or by one that wraps it.
func openSQLite(dsn string, wrap func(driver.Driver) driver.Driver) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil || wrap == nil {
		return db, err
	}
	d := wrap(db.Driver())
	return sql.OpenDB(connector{dsn, d}), db.Close()
}

// connector opens the connections of a driver.
type connector struct {
	dsn string
	d   driver.Driver
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.d.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.d }

// Close closes the database and unlocks the directory.
func (s *Store) Close() error {
	var errs []error
	if s.jobs != nil && s.lock != nil && !s.postgres {
		s.scrubAtEnd()
	}
	if s.reader != nil && s.reader != s.db {
		errs = append(errs, s.reader.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Ping returns an error if the database does not answer.
func (s *Store) Ping(ctx context.Context) error { return s.reader.PingContext(ctx) }

// Shared reports whether several nodes can use the database.
func (s *Store) Shared() bool { return s.several }

// Driver returns the driver of the job queue.
func (s *Store) Driver() riverdriver.Driver[*sql.Tx] { return s.driver }

// Tx is a transaction.
type Tx struct {
	tx *sql.Tx
	s  *Store
}

// InTx runs do in a transaction, which is committed if do returns nil. It fails with ErrFenced, and do does not run, if
// another node has taken over the work of this one.
func (s *Store) InTx(ctx context.Context, do func(tx *Tx) error) error {
	return s.inTx(ctx, func(t *Tx) error {
		if err := t.fence(ctx); err != nil {
			return err
		}
		return do(t)
	})
}

func (s *Store) inTx(ctx context.Context, do func(tx *Tx) error) (err error) {
	defer func() { s.suspect(err) }()
	if s.bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, writeTime)
		defer cancel()
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if err := do(&Tx{tx: tx, s: s}); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// forUpdate returns the clause that locks the rows of a SELECT. SQLite has a single writer and needs no lock.
func (s *Store) forUpdate() string {
	if s.postgres {
		return " FOR UPDATE"
	}
	return ""
}

// forKeyShare returns the clause that keeps the key of a row from being changed.
func (s *Store) forKeyShare() string {
	if s.postgres {
		return " FOR KEY SHARE"
	}
	return ""
}

// exec runs a statement and returns the number of changed rows.
func (t *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// millis converts a time to the form of the tables, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func duration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// each scans the rows of a query.
func each(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
