package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Session is somebody who is signed in.
type Session struct {
	Hash      string // of the id, which only the cookie holds
	Name      string
	Roles     []string
	Source    string // how they signed in
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// SaveSession keeps a new session, and lets go of those that have expired or were not seen since idle.
func (s *Store) SaveSession(ctx context.Context, v Session, idle time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		if _, err := t.exec(ctx, "DELETE FROM session WHERE expires_ms <= $1 OR seen_ms <= $2", millis(v.SeenAt), millis(idle)); err != nil {
			return fmt.Errorf("let go of old sessions: %w", err)
		}
		if _, err := t.exec(
			ctx,
			"INSERT INTO session (hash, name, roles, source, created_ms, seen_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			v.Hash,
			v.Name,
			strings.Join(v.Roles, " "),
			v.Source,
			millis(v.CreatedAt),
			millis(v.SeenAt),
			millis(v.ExpiresAt),
		); err != nil {
			return fmt.Errorf("keep a session: %w", err)
		}
		return nil
	})
}

// Session finds a session. It is ErrNotFound if there is none.
func (s *Store) Session(ctx context.Context, hash string) (v Session, err error) {
	var roles string
	var created, seen, expires int64
	err = s.reader.QueryRowContext(
		ctx,
		"SELECT hash, name, roles, source, created_ms, seen_ms, expires_ms FROM session WHERE hash = $1",
		hash,
	).
		Scan(&v.Hash, &v.Name, &roles, &v.Source, &created, &seen, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return v, ErrNotFound
	}
	if err != nil {
		return v, fmt.Errorf("read a session: %w", err)
	}
	v.Roles = strings.Fields(roles)
	v.CreatedAt, v.SeenAt, v.ExpiresAt = fromMillis(created), fromMillis(seen), fromMillis(expires)
	return v, nil
}

// TouchSession notes that a session was used.
func (s *Store) TouchSession(ctx context.Context, hash string, at time.Time) error {
	if _, err := s.db.ExecContext(ctx, "UPDATE session SET seen_ms = $2 WHERE hash = $1", hash, millis(at)); err != nil {
		return fmt.Errorf("note the use of a session: %w", err)
	}
	return nil
}

// EndSession lets go of a session. None there is no error.
func (s *Store) EndSession(ctx context.Context, hash string) error {
	if _, err := s.db.ExecContext(ctx, "DELETE FROM session WHERE hash = $1", hash); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}
