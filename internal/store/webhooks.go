package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Message is a webhook message.
type Message struct {
	ID        string // the same for all endpoints and attempts
	Event     string
	Call      string
	CreatedAt time.Time
	Body      string // JSON
}

// States of a delivery.
const (
	DeliveryPending   = "pending"
	DeliveryDelivered = "delivered"
	DeliveryDead      = "dead"
)

// Delivery is a message for one endpoint.
type Delivery struct {
	Message
	Endpoint   string
	State      string
	Attempts   int
	NextAt     time.Time
	FirstAt    time.Time
	SettledAt  time.Time
	LastStatus int
	LastError  string
}

// AddMessage stores a message for endpoints. If its id exists, AddMessage changes nothing and returns false.
func (t *Tx) AddMessage(ctx context.Context, m Message, endpoints []string) (bool, error) {
	if len(endpoints) == 0 {
		return false, nil
	}
	n, err := t.exec(
		ctx,
		"INSERT INTO webhook_message (id, event, call_id, created_ms, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		m.ID,
		m.Event,
		m.Call,
		millis(m.CreatedAt),
		m.Body,
	)
	if err != nil || n == 0 {
		return false, err
	}
	for _, e := range endpoints {
		if _, err := t.exec(
			ctx,
			"INSERT INTO webhook_delivery (message_id, endpoint, state, next_ms, first_ms) VALUES ($1, $2, 'pending', $3, $4)",
			m.ID,
			e,
			t.s.dueMillis(m.CreatedAt),
			millis(m.CreatedAt),
		); err != nil {
			return false, fmt.Errorf("save %s message of call %s: %w", m.Event, m.Call, err)
		}
	}
	return true, nil
}

// ForgetMessages deletes messages of an event that were created before a time, with their deliveries.
func (t *Tx) ForgetMessages(ctx context.Context, event string, before time.Time) error {
	const old = "SELECT id FROM webhook_message WHERE event = $1 AND created_ms < $2"
	for _, q := range []string{
		"DELETE FROM webhook_delivery WHERE message_id IN (" + old + ")",
		"DELETE FROM webhook_message WHERE id IN (" + old + ")",
	} {
		if _, err := t.exec(ctx, q, event, millis(before)); err != nil {
			return fmt.Errorf("delete old messages: %w", err)
		}
	}
	return nil
}

// dueMillis returns when a message that was created at a time is due: at once, also if the clock that stamped it is ahead.
func (s *Store) dueMillis(created time.Time) int64 { return min(millis(created), millis(s.Due())) }

const deliveryColumns = "d.message_id, m.event, m.call_id, m.created_ms, m.body, d.endpoint, d.state, d.attempts, d.next_ms, " +
	"d.first_ms, d.settled_ms, d.last_status, d.last_error"

func scanDelivery(r interface{ Scan(...any) error }) (d Delivery, err error) {
	var created, next, first, settled int64
	err = r.Scan(
		&d.ID,
		&d.Event,
		&d.Call,
		&created,
		&d.Body,
		&d.Endpoint,
		&d.State,
		&d.Attempts,
		&next,
		&first,
		&settled,
		&d.LastStatus,
		&d.LastError,
	)
	d.CreatedAt, d.NextAt, d.FirstAt, d.SettledAt = fromMillis(created), fromMillis(next), fromMillis(first), fromMillis(settled)
	return d, err
}

// ClaimDelivery claims the next due delivery of an endpoint for the node that has joined, for the duration of the lease. A
// restart of the node and a take-over release the claim before. Without a due delivery it returns ErrNotFound and the time of
// the next one, or zero if none is pending.
func (s *Store) ClaimDelivery(
	ctx context.Context,
	endpoint string,
	now time.Time,
	lease time.Duration,
) (d Delivery, next time.Time, err error) {
	// A look costs less than a transaction, and mostly nothing is due.
	var due sql.NullInt64
	if err := s.reader.QueryRowContext(
		ctx,
		"SELECT min(next_ms) FROM webhook_delivery WHERE endpoint = $1 AND state = 'pending'",
		endpoint,
	).Scan(
		&due,
	); err != nil {
		return d, next, fmt.Errorf("find deliveries to %s: %w", endpoint, err)
	}
	if next = fromMillis(due.Int64); !due.Valid || due.Int64 > millis(now) {
		return d, next, ErrNotFound
	}
	err = s.InTx(ctx, func(t *Tx) error {
		lock := ""
		if s.postgres {
			lock = " FOR UPDATE OF d SKIP LOCKED"
		}
		d, err = scanDelivery(
			t.tx.QueryRowContext(ctx, "SELECT "+deliveryColumns+` FROM webhook_delivery d JOIN webhook_message m ON m.id = d.message_id
			WHERE d.endpoint = $1 AND d.state = 'pending' AND d.next_ms <= $2 ORDER BY d.next_ms LIMIT 1`+lock, endpoint, millis(now)),
		)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		d.Attempts++
		_, err = t.exec(
			ctx,
			"UPDATE webhook_delivery SET attempts = $3, next_ms = $4, claimed_by = $5 WHERE message_id = $1 AND endpoint = $2",
			d.ID,
			endpoint,
			d.Attempts,
			millis(now.Add(lease)),
			s.nodeName(),
		)
		return err
	})
	return d, next, err
}

// SaveDelivery saves the result of an attempt: State, NextAt, LastStatus and LastError. It does not change a delivery
// that was settled meanwhile.
func (s *Store) SaveDelivery(ctx context.Context, d Delivery) error {
	err := s.InTx(ctx, func(t *Tx) error {
		_, err := t.exec(ctx, `UPDATE webhook_delivery SET state = $3, next_ms = $4, settled_ms = $5, last_status = $6, last_error = $7,
			claimed_by = '' WHERE message_id = $1 AND endpoint = $2 AND state = 'pending' AND attempts = $8`,
			d.ID, d.Endpoint, d.State, millis(d.NextAt), millis(d.SettledAt), d.LastStatus, d.LastError, d.Attempts)
		return err
	})
	if err != nil {
		return fmt.Errorf("save delivery of %s to %s: %w", d.ID, d.Endpoint, err)
	}
	return nil
}

// releaseDeliveries makes the claimed deliveries of a node due, or those of all nodes if node is "". Their attempts may have
// been made: the message is sent again with the same id.
func (t *Tx) releaseDeliveries(ctx context.Context, node string) error {
	query := "UPDATE webhook_delivery SET claimed_by = '', next_ms = $1 WHERE state = 'pending' AND claimed_by <> ''"
	args := []any{millis(t.s.Due())}
	if node != "" {
		query, args = query+" AND claimed_by = $2", append(args, node)
	}
	if _, err := t.exec(ctx, query, args...); err != nil {
		return fmt.Errorf("release deliveries: %w", err)
	}
	return nil
}

// DeadLetters returns undeliverable messages, newest first.
func (s *Store) DeadLetters(ctx context.Context, limit int) (list []Delivery, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		"SELECT "+deliveryColumns+" FROM webhook_delivery d JOIN webhook_message m ON m.id = d.message_id WHERE d.state = 'dead' "+
			"ORDER BY d.settled_ms DESC LIMIT $1",
		limit,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		d, err := scanDelivery(r)
		list = append(list, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return list, nil
}

// DeliveryCounts counts deliveries by endpoint and state.
func (s *Store) DeliveryCounts(ctx context.Context) (counts map[[2]string]int, err error) {
	counts = map[[2]string]int{}
	rows, err := s.reader.QueryContext(
		ctx,
		`SELECT endpoint, 'pending', count(*) FROM webhook_delivery WHERE state = 'pending' GROUP BY endpoint
		UNION ALL SELECT endpoint, 'dead', count(*) FROM webhook_delivery WHERE state = 'dead' GROUP BY endpoint`,
	) // each state has its own index
	err = each(rows, err, func(r *sql.Rows) error {
		var endpoint, state string
		var n int
		defer func() { counts[[2]string{endpoint, state}] = n }()
		return r.Scan(&endpoint, &state, &n)
	})
	return counts, err
}

// DeliveriesDue returns the number of deliveries to an endpoint that are due.
func (s *Store) DeliveriesDue(ctx context.Context, endpoint string, now time.Time) (n int, err error) {
	err = s.reader.QueryRowContext(
		ctx,
		"SELECT count(*) FROM webhook_delivery WHERE endpoint = $1 AND state = 'pending' AND next_ms <= $2",
		endpoint,
		millis(now),
	).
		Scan(&n)
	return n, err
}

// Replay queues a dead letter again, with all its attempts.
func (s *Store) Replay(ctx context.Context, message, endpoint, who string, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		n, err := t.exec(
			ctx,
			"UPDATE webhook_delivery SET state = 'pending', attempts = 0, next_ms = $3, first_ms = $4, settled_ms = 0, claimed_by = '' "+
				"WHERE message_id = $1 AND endpoint = $2 AND state = 'dead'",
			message,
			endpoint,
			s.dueMillis(now),
			millis(now),
		)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		var call string
		if err := t.tx.QueryRowContext(ctx, "SELECT call_id FROM webhook_message WHERE id = $1", message).Scan(&call); err != nil {
			return err
		}
		return t.Audit(ctx, Line{
			At:     now,
			Actor:  who,
			What:   AuditReplayed,
			Call:   call,
			Detail: Detail{"message": message, "endpoint": endpoint},
		})
	})
}

// DisableEndpoint stops deliveries to an endpoint, which answered 410 Gone. Its pending deliveries become dead letters.
func (s *Store) DisableEndpoint(ctx context.Context, name, reason string, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		n, err := t.exec(
			ctx,
			"INSERT INTO webhook_endpoint (name, disabled_ms, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
			name,
			millis(now),
			reason,
		)
		if err != nil {
			return err
		}
		if _, err := t.exec(
			ctx,
			"UPDATE webhook_delivery SET state = 'dead', settled_ms = $2, last_error = $3 WHERE endpoint = $1 AND state = 'pending'",
			name,
			millis(now),
			reason,
		); err != nil ||
			n == 0 {
			return err
		}
		return t.Audit(
			ctx,
			Line{At: now, Actor: "machine", What: AuditEndpoint, Detail: Detail{"endpoint": name, "disabled": true, "reason": reason}},
		)
	})
}

// EnableEndpoint resumes deliveries to an endpoint.
func (s *Store) EnableEndpoint(ctx context.Context, name, who string, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		n, err := t.exec(ctx, "DELETE FROM webhook_endpoint WHERE name = $1", name)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		return t.Audit(ctx, Line{At: now, Actor: who, What: AuditEndpoint, Detail: Detail{"endpoint": name, "disabled": false}})
	})
}

// Disabled returns the time and the reason of the disabling of an endpoint, or zero if it is enabled.
func (s *Store) Disabled(ctx context.Context, name string) (since time.Time, reason string, err error) {
	var ms int64
	err = s.reader.QueryRowContext(ctx, "SELECT disabled_ms, reason FROM webhook_endpoint WHERE name = $1", name).Scan(&ms, &reason)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, "", nil
	}
	return fromMillis(ms), reason, err
}
