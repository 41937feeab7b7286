package storetest

import (
	"errors"
	"testing"
	"time"

	"callscreen/internal/store"
)

func deliveries(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 0)
	m := store.Message{
		ID:        "m",
		Event:     "call.flagged",
		Call:      "c",
		CreatedAt: now,
		Body:      `{"a":1}`,
	}
	for i, want := range []bool{true, false} {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			if added, err := tx.AddMessage(ctx, m, []string{"a", "b"}); err != nil || added != want {
				t.Errorf("insert %d: %v %v", i, added, err)
			}
			return nil
		}))
	}
	if _, next, err := s.ClaimDelivery(ctx, "a", now.Add(-time.Second), time.Minute); !errors.Is(err, store.ErrNotFound) || !next.Equal(now) {
		t.Error(next, err)
	}
	d, _, err := s.ClaimDelivery(ctx, "a", now, time.Minute)
	if err != nil || d.Body != m.Body || d.Attempts != 1 {
		t.Fatal(d, err)
	}
	if _, next, err := s.ClaimDelivery(ctx, "a", now.Add(time.Second), time.Minute); !errors.Is(err, store.ErrNotFound) ||
		!next.Equal(now.Add(time.Minute)) {
		t.Errorf("claimed twice: %v %v", next, err)
	}
	d.State, d.SettledAt, d.LastStatus, d.LastError = store.DeliveryDead, now, 500, "no"
	must(t, s.SaveDelivery(ctx, d))
	if dead, err := s.DeadLetters(ctx, 10); err != nil || len(dead) != 1 || dead[0].LastStatus != 500 || dead[0].Event != m.Event {
		t.Errorf("%+v %v", dead, err)
	}
	must(t, s.Replay(ctx, "m", "a", "me", now))
	if err := s.Replay(ctx, "m", "a", "me", now); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if d, _, err = s.ClaimDelivery(ctx, "a", now, time.Minute); err != nil || d.Attempts != 1 || audited(t, s, "c", store.AuditReplayed) != 1 {
		t.Error(d, err)
	}
	d.State = store.DeliveryDelivered
	must(t, s.SaveDelivery(ctx, d))
	if counts, err := s.DeliveryCounts(ctx); err != nil || counts[[2]string{"b", "pending"}] != 1 || len(counts) != 1 {
		t.Error(counts, err)
	}
}

func disabled(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.AddMessage(ctx, store.Message{ID: "m", Event: "e", CreatedAt: now, Body: "{}"}, []string{"a", "b"})
		return err
	}))
	must(t, s.DisableEndpoint(ctx, "a", "HTTP 410", now))
	must(t, s.DisableEndpoint(ctx, "a", "HTTP 410", now))
	if since, why, err := s.Disabled(ctx, "a"); !since.Equal(now) || why != "HTTP 410" || err != nil {
		t.Error(since, why, err)
	}
	if _, next, err := s.ClaimDelivery(ctx, "a", now, time.Minute); !errors.Is(err, store.ErrNotFound) || !next.IsZero() {
		t.Error(next, err)
	}
	if _, _, err := s.ClaimDelivery(ctx, "b", now, time.Minute); err != nil {
		t.Error(err)
	}
	must(t, s.EnableEndpoint(ctx, "a", "me", now))
	if since, _, err := s.Disabled(ctx, "a"); !since.IsZero() || err != nil {
		t.Error(since, err)
	}
	if err := s.EnableEndpoint(ctx, "a", "me", now); !errors.Is(err, store.ErrNotFound) || audited(t, s, "", store.AuditEndpoint) != 2 {
		t.Error(err)
	}
}

// A delivery that was under way when its process died is due once the node has joined again, and is settled by the new attempt
// only.
func releasedDeliveries(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	must(t, s.Join(ctx, "n1", "o"))
	at := s.Due()
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.AddMessage(ctx, store.Message{ID: "m", Event: "e", CreatedAt: at, Body: "{}"}, []string{"a", "b", "c"})
		return err
	}))
	claim := func(endpoint string) (store.Delivery, error) {
		d, _, err := s.ClaimDelivery(ctx, endpoint, s.Due(), time.Hour)
		return d, err
	}
	lost, err := claim("a")
	must(t, err)
	failed, err := claim("b")
	must(t, err)
	failed.State, failed.NextAt = store.DeliveryPending, s.Due().Add(time.Hour)
	must(t, s.SaveDelivery(ctx, failed)) // its attempt has ended
	if d, err := claim("a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a delivery under way is claimed again: %+v %v", d, err)
	}
	must(t, s.Join(ctx, "n1", "o")) // as the next process does
	again, err := claim("a")
	if err != nil || again.ID != lost.ID || again.Attempts != 2 {
		t.Fatalf("a delivery of the earlier process: %+v %v", again, err)
	}
	if d, err := claim("b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a retry does not wait for its time: %+v %v", d, err)
	}
	lost.State = store.DeliveryDead
	must(t, s.SaveDelivery(ctx, lost))
	if dead, err := s.DeadLetters(ctx, 10); err != nil || len(dead) != 0 {
		t.Errorf("the attempt of before has settled the delivery: %+v %v", dead, err)
	}
}
