package store

import (
	"context"
	"database/sql"
	"fmt"
)

// AudioIdentity returns the identity of the audio store that all nodes share. Without one it becomes the proposal.
func (s *Store) AudioIdentity(ctx context.Context, proposal string) (identity string, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		if _, err := t.exec(ctx, "INSERT INTO audio_store (id, identity) VALUES (1, $1) ON CONFLICT DO NOTHING", proposal); err != nil {
			return err
		}
		return t.tx.QueryRowContext(ctx, "SELECT identity FROM audio_store WHERE id = 1").Scan(&identity)
	})
	if err != nil {
		return "", fmt.Errorf("identity of the audio store: %w", err)
	}
	return identity, nil
}

// audioSamples is the number of keys that AudioSamples returns at most.
const audioSamples = 5

// AudioSamples returns keys of audio that the shared audio store must have, the newest first.
func (s *Store) AudioSamples(ctx context.Context) (keys []string, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		"SELECT audio_key FROM segment WHERE audio_key <> '' AND audio_node = '' AND audio_deleted_ms = 0 ORDER BY recorded_ms DESC LIMIT $1",
		audioSamples,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var key string
		defer func() { keys = append(keys, key) }()
		return r.Scan(&key)
	})
	if err != nil {
		return nil, fmt.Errorf("list stored audio: %w", err)
	}
	return keys, nil
}
