package screen

import (
	"context"
	"time"

	"callscreen/internal/anchor"
	"callscreen/internal/hook/event"
	"callscreen/internal/store"
)

// keepHeads is the time for which announced heads stay in the outbox.
const keepHeads = 30 * 24 * time.Hour

// AuditHead returns the head of the audit log at the last sweep.
func (e *Maintenance) AuditHead() store.Head {
	if h := e.head.Load(); h != nil {
		return *h
	}
	return store.Head{}
}

// anchor announces the head of the audit log once a day, in the log of each node and once to the webhooks, so that copies of
// it are outside of the database.
func (e *Maintenance) anchor(ctx context.Context) error {
	h, err := e.cfg.Store.Head(ctx)
	if err != nil {
		return err
	}
	e.head.Store(&h)
	now := e.cfg.Now()
	day := now.UTC().Format(time.DateOnly)
	if e.anchored == day || h.Seq == 0 {
		return nil
	}
	text, err := e.cfg.Signer.Format(anchor.Head(h), now)
	if err != nil {
		return err
	}
	body, err := message(event.AuditHead, now, struct {
		Seq  int64  `json:"seq"`
		Hash string `json:"hash"`
		Text string `json:"text"`
	}{h.Seq, h.Hash, text})
	if err != nil {
		return err
	}
	if err := e.cfg.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.ForgetMessages(ctx, event.AuditHead, now.Add(-keepHeads)); err != nil {
			return err
		}
		_, err := tx.AddMessage(ctx, store.Message{
			ID:        messageID(event.AuditHead, day),
			Event:     event.AuditHead,
			CreatedAt: now,
			Body:      string(body),
		}, e.cfg.Decider.cfg.Subscribers(event.AuditHead))
		return err
	}); err != nil {
		return err
	}
	e.anchored = day
	e.cfg.Log.Info("audit head", "seq", h.Seq, "hash", h.Hash)
	return nil
}
