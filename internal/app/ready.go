package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"callscreen/internal/problem"
)

// health is what is at fault. Only what keeps new calls from being recorded makes the node unready: without the API or the
// database calls are still recorded, and decided later.
type health struct {
	Ready   bool              `json:"ready"`
	Faults  map[string]string `json:"faults,omitempty"`  // why no new call is taken
	Delayed map[string]string `json:"delayed,omitempty"` // why decisions come late
	Backlog int               `json:"backlog"`           // segments that wait for the analysis
	Spooled int               `json:"spooled"`           // entries that wait for the database or the audio store
}

const databaseAnswers = 2 * time.Second

// health looks at everything that serve needs.
func (a *App) health(ctx context.Context) health {
	h := health{Faults: map[string]string{}, Delayed: map[string]string{}}
	if a.draining.Load() {
		h.Faults["drain"] = "shutting down"
	}
	if err := a.spool.Room(); err != nil {
		h.Faults["spool"] = err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, databaseAnswers)
	defer cancel()
	if b, err := a.store.Backlog(ctx); err != nil {
		h.Delayed["database"] = "does not answer; calls are recorded into the spool (hint: bring it back, nothing is lost)"
	} else {
		h.Backlog = b.Recorded + b.Submitted
	}
	if a.worker.BreakerOpen() {
		h.Delayed["analysis"] = "the API failed several times in a row and is left alone for a moment; segments wait (hint: check the network and analysis.base_url)"
	}
	var trouble time.Time
	if h.Spooled, trouble = a.forwarder.Waiting(); !trouble.IsZero() {
		h.Delayed["delivery"] = fmt.Sprintf(
			"nothing recorded could be delivered since %s; it waits in the spool",
			trouble.UTC().Format(time.RFC3339),
		)
	}
	h.Ready = len(h.Faults) == 0
	return h
}

// ready tells whether new calls are taken, and what is at fault.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	h := a.health(r.Context())
	if h.Ready {
		answer(w, h)
		return
	}
	w.Header().Set("Retry-After", "10")
	problem.With(
		w,
		http.StatusServiceUnavailable,
		"no new calls are taken",
		map[string]any{"ready": false, "faults": h.Faults, "delayed": h.Delayed, "backlog": h.Backlog, "spooled": h.Spooled},
	)
}
