package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/internal/hook"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// A reload replaces the dispatcher while a request is under way. The request ends, and is made once.
func TestAReloadLetsAWebhookUnderWayEnd(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, t.TempDir())
	var requests atomic.Int64
	begun, release := make(chan struct{}, 10), make(chan struct{})
	crm := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		begun <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer crm.Close()
	dispatcher := func() *hook.Dispatcher {
		return hook.NewDispatcher(hook.Config{Store: db, Endpoints: []hook.Endpoint{{Name: "crm", URL: crm.URL}}, Due: db.Due})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tell := func(id string) {
		t.Helper()
		if err := db.InTx(ctx, func(tx *store.Tx) error {
			m := store.Message{
				ID:        id,
				Event:     "call.flagged",
				Call:      "c",
				CreatedAt: db.Now(),
				Body:      "{}",
			}
			_, err := tx.AddMessage(ctx, m, []string{"crm"})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	tell("msg_1")
	h := newHooks(dispatcher())
	running := start(ctx, func(ctx context.Context) error { h.run(ctx); return nil })
	<-begun
	for range 5 { // one reload after the other
		h.replace(dispatcher())
	}
	tell("msg_2") // the new dispatcher does not wait for the request
	h.current().News()
	select {
	case <-begun:
	case <-ctx.Done():
		t.Fatal("the new dispatcher delivers nothing")
	}
	close(release)
	for delivered := int64(0); delivered < 2; delivered, _, _ = h.counts() {
		if ctx.Err() != nil {
			t.Fatal("the requests did not end")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := running.stop(); err != nil {
		t.Error(err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for 2 messages", n)
	}
	if due, err := db.DeliveriesDue(ctx, "crm", time.Now().Add(time.Hour)); err != nil || due != 0 {
		t.Errorf("%d messages are to be sent again, %v", due, err)
	}
}
