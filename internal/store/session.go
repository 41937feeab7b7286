package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Session is a signed-in user.
type Session struct {
	Hash      string // hash of the id; only the cookie holds the id
	Name      string
	Roles     []string
	Source    string // method of the sign-in
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// SaveSession inserts a session, and deletes sessions that have expired or were idle for too long.
func (s *Store) SaveSession(ctx context.Context, v Session, idle time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		if _, err := t.exec(ctx, "DELETE FROM session WHERE expires_ms <= $1 OR seen_ms <= $2", millis(v.SeenAt), millis(idle)); err != nil {
			return fmt.Errorf("delete expired sessions: %w", err)
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
			return fmt.Errorf("save session: %w", err)
		}
		return nil
	})
}

// Session reads a session. It returns ErrNotFound if there is none.
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
		return v, fmt.Errorf("read session: %w", err)
	}
	v.Roles = strings.Fields(roles)
	v.CreatedAt, v.SeenAt, v.ExpiresAt = fromMillis(created), fromMillis(seen), fromMillis(expires)
	return v, nil
}

// TouchSession records the use of a session.
func (s *Store) TouchSession(ctx context.Context, hash string, at time.Time) error {
	if _, err := s.db.ExecContext(ctx, "UPDATE session SET seen_ms = $2 WHERE hash = $1", hash, millis(at)); err != nil {
		return fmt.Errorf("update session: %w", err)
	}
	return nil
}

// EndSession deletes a session. A missing session is not an error.
func (s *Store) EndSession(ctx context.Context, hash string) error {
	if _, err := s.db.ExecContext(ctx, "DELETE FROM session WHERE hash = $1", hash); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}
