package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"callscreen/internal/report"
)

// Legs saves the legs of a part as they were when a segment of it was cut. A stored leg that is as long is newer: segments can
// be delivered after a later progress.
func (t *Tx) Legs(ctx context.Context, p Part) error { return t.saveLegs(ctx, p, ">") }

// saveLegs saves the legs of a part that compare with the stored ones in this way by their length.
func (t *Tx) saveLegs(ctx context.Context, p Part, longer string) error {
	for _, l := range p.Legs {
		if err := t.saveLeg(ctx, p.PartKey, l, longer); err != nil {
			return fmt.Errorf("save leg %s of call %s: %w", l.Leg, p.Call, err)
		}
	}
	return nil
}

func (t *Tx) saveLeg(ctx context.Context, key PartKey, l LegProgress, longer string) error {
	var recorded, noise, paused int64
	var ledger, unheard, metadata string
	interrupted := false
	if l.Ledger != nil {
		text, err := json.Marshal(l.Ledger)
		if err != nil {
			return err
		}
		ledger, interrupted = string(text), l.Ledger.Interrupted
		recorded, noise, paused = milliseconds(l.Ledger.Recorded), milliseconds(l.Ledger.Noise), milliseconds(l.Ledger.Paused)
		if unheard, err = unheardText(l.Ledger); err != nil {
			return err
		}
	}
	if l.Metadata != nil {
		text, err := json.Marshal(l.Metadata)
		if err != nil {
			return err
		}
		metadata = string(text)
	}
	_, err := t.exec(
		ctx,
		`INSERT INTO leg (call_id, part, node, leg, duration_ms, lost_ms, recorded_ms, noise_ms, paused_ms, interrupted, unheard, ledger,
			metadata, bound) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (call_id, part, node, leg) DO UPDATE SET duration_ms = excluded.duration_ms, lost_ms = excluded.lost_ms,
			recorded_ms = excluded.recorded_ms, noise_ms = excluded.noise_ms, paused_ms = excluded.paused_ms,
			interrupted = excluded.interrupted, unheard = excluded.unheard, ledger = excluded.ledger,
			metadata = excluded.metadata, bound = excluded.bound
			WHERE excluded.duration_ms `+longer+` leg.duration_ms`,
		key.Call,
		key.Part,
		key.Node,
		l.Leg,
		l.Duration.Milliseconds(),
		l.Lost.Milliseconds(),
		recorded,
		noise,
		paused,
		flag(interrupted),
		unheard,
		ledger,
		metadata,
		flag(l.Bound),
	)
	return err
}

func milliseconds(s report.Seconds) int64 { return time.Duration(s).Milliseconds() }

// unheardText returns the unheard audio of a ledger as the JSON of its column, "" if there is none.
func unheardText(l *report.Ledger) (string, error) {
	times := map[string]int64{}
	for reason, d := range l.Unheard() {
		if ms := milliseconds(d); ms > 0 {
			times[reason] = ms
		}
	}
	if len(times) == 0 {
		return "", nil
	}
	text, err := json.Marshal(times)
	return string(text), err
}

// legs returns the legs of all parts of a call, with their ledgers.
func legs(ctx context.Context, q querier, call string) (list []LegProgress, err error) {
	rows, err := q.QueryContext(
		ctx,
		"SELECT part, node, leg, duration_ms, lost_ms, ledger, metadata, bound FROM leg WHERE call_id = $1 ORDER BY leg",
		call,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		l := LegProgress{PartKey: PartKey{Call: call}}
		var took, lost int64
		var ledger, metadata string
		if err := r.Scan(&l.Part, &l.Node, &l.Leg, &took, &lost, &ledger, &metadata, &l.Bound); err != nil {
			return err
		}
		l.Duration, l.Lost = duration(took), duration(lost)
		if ledger != "" {
			l.Ledger = &report.Ledger{}
			if err := json.Unmarshal([]byte(ledger), l.Ledger); err != nil {
				return err
			}
		}
		if metadata != "" {
			if err := json.Unmarshal([]byte(metadata), &l.Metadata); err != nil {
				return err
			}
		}
		list = append(list, l)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read legs of call %s: %w", call, err)
	}
	return list, nil
}
