package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// silence is the longest time that a sidecar waits for the next byte of the database. A connection that is frozen, by a
	// firewall or a dead host, would hold its goroutine for as long as TCP permits, which is many minutes.
	silence = 20 * time.Second
	// connTime bounds one attempt to connect.
	connTime = 5 * time.Second
	// connAge is the longest life of a connection, so that a changed address of the host takes effect without an error too.
	connAge = 30 * time.Minute
	// idleInTx is the time after which the server ends a transaction whose client is silent. Its locks would keep other
	// nodes from the rows of a node that is frozen.
	idleInTx = "15s"
	// writeTime bounds one transaction of a sidecar, including the wait for a connection.
	writeTime = 15 * time.Second
)

// DefaultConns is the default of Options.MaxConns.
const DefaultConns = 20

// openPostgres opens a pool of connections. Each new connection looks up the address of the host again.
func (s *Store) openPostgres(opt Options) error {
	cfg, err := pgx.ParseConfig(opt.URL)
	if err != nil {
		return fmt.Errorf("database: %w", withoutPassword(err, opt.URL))
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connTime
	}
	if opt.Lookup != nil {
		cfg.LookupFunc = opt.Lookup
	}
	var prepare []stdlib.OptionOpenDB
	if opt.Owner {
		dial := cfg.DialFunc
		cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &impatientConn{Conn: c}, nil
		}
		prepare = append(prepare, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "SET idle_in_transaction_session_timeout = '"+idleInTx+"'")
			return err
		}))
	}
	s.db = stdlib.OpenDB(*cfg, prepare...)
	if s.conns = opt.MaxConns; s.conns == 0 {
		s.conns = DefaultConns
	}
	s.db.SetMaxOpenConns(s.conns)
	s.db.SetMaxIdleConns(s.conns)
	s.db.SetConnMaxLifetime(connAge)
	s.reader = s.db
	return nil
}

// impatientConn breaks a connection whose other end is silent while an answer is awaited.
type impatientConn struct {
	net.Conn
	mu  sync.Mutex
	end time.Time // set by the driver, zero if none
}

// Read implements net.Conn.
func (c *impatientConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	end := time.Now().Add(silence)
	if !c.end.IsZero() && c.end.Before(end) {
		end = c.end
	}
	err := c.Conn.SetReadDeadline(end)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// SetDeadline implements net.Conn.
func (c *impatientConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = t
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *impatientConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = t
	return c.Conn.SetReadDeadline(t)
}

// suspect closes the idle connections if an error means that others are as useless: the server does not answer, or is a
// standby now. The next query connects again, to the address that the name of the host has then.
func (s *Store) suspect(err error) {
	if !s.postgres || err == nil || !unusable(err) {
		return
	}
	s.db.SetMaxIdleConns(0)
	s.db.SetMaxIdleConns(s.conns)
}

func unusable(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case "25006", // read-only transaction: the server became a standby
			"57P01", "57P02", "57P03", // it shuts down, has crashed, or starts
			"25P03": // idle in a transaction: this process was frozen
			return true
		}
		return false
	}
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &network) || errors.Is(err, sql.ErrConnDone)
}
