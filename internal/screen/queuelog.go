package screen

import (
	"context"
	"log/slog"
)

// queueLog passes on the warnings of the job queue.
type queueLog struct{ slog.Handler }

func (q queueLog) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// Handle caps the level at WARN: Forwarder and Worker report the errors behind it.
func (q queueLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelWarn {
		r.Level = slog.LevelWarn
	}
	return q.Handler.Handle(ctx, r)
}

func (q queueLog) WithAttrs(a []slog.Attr) slog.Handler { return queueLog{q.Handler.WithAttrs(a)} }
func (q queueLog) WithGroup(g string) slog.Handler      { return queueLog{q.Handler.WithGroup(g)} }
