package screen_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/internal/anchor"
	"callscreen/internal/hook/event"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// The head of the audit is announced once a day, signed, whichever node sweeps, and shows what it was at that time.
func TestTheHeadOfTheAuditIsAnnouncedDaily(t *testing.T) {
	t.Parallel()
	secret, public, err := anchor.Generate("bank.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := anchor.ParseSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	var ready atomic.Bool
	n := newNode(t, options{desk: func(c *screen.DeciderConfig) {
		c.Subscribers = func(name string) []string {
			if name == event.AuditHead && ready.Load() {
				return []string{"siem"}
			}
			return nil
		}
	}})
	upkeep := func() *screen.Maintenance {
		e, err := screen.NewMaintenance(screen.MaintenanceConfig{
			Worker:  screen.NewWorker(screen.WorkerConfig{}),
			Store:   n.store,
			Decider: n.desk,
			Audio:   n.audio,
			Node:    n.name,
			Signer:  signer,

			MaxInFlight: 1,
			Now:         n.clock.now,
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	n.record(n.part("a", 0), 1)
	n.drain()
	stop := n.work(nil)
	n.final("a")
	stop() // its maintenance may have announced the head of this day, without a signature
	n.clock.advance(24 * time.Hour)
	ready.Store(true)
	two := []*screen.Maintenance{upkeep(), upkeep()}
	for day := range 3 {
		for range 3 {
			for _, e := range two {
				if err := e.Sweep(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		d, _, err := n.store.ClaimDelivery(t.Context(), "siem", n.clock.now().Add(time.Hour), time.Minute)
		if err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		told = append(told, d.Body)
		d.State = store.DeliveryDelivered
		if err := n.store.SaveDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if more, _, err := n.store.ClaimDelivery(t.Context(), "siem", n.clock.now().Add(time.Hour), time.Minute); err == nil {
			t.Errorf("day %d: a second message %s", day, more.Body)
		}
		n.clock.advance(24 * time.Hour)
	}
	var m struct {
		Type string
		Data struct {
			Seq        int64
			Hash, Text string
		}
	}
	if err := json.Unmarshal([]byte(told[0]), &m); err != nil {
		t.Fatal(err)
	}
	kept, err := anchor.Parse([]byte(m.Data.Text), public)
	if err != nil || m.Type != event.AuditHead || kept.Seq != m.Data.Seq || kept.Hash != m.Data.Hash || kept.Seq == 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if head := two[0].AuditHead(); head.Seq < kept.Seq || strings.Count(strings.Join(told, ""), kept.Hash) == 0 {
		t.Errorf("%+v, %q", head, told)
	}
}
