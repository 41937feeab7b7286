package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/audio"
	"callscreen/internal/problem"
)

// health is the state that /readyz shows. Only a fault that keeps calls from being recorded makes the node unready:
// without the API or the database calls are recorded and decided later.
type health struct {
	Ready   bool              `json:"ready"`
	Faults  map[string]string `json:"faults,omitempty"`  // reasons why no new call is accepted
	Delayed map[string]string `json:"delayed,omitempty"` // reasons why decisions are late
	Errors  map[string]string `json:"errors,omitempty"`  // mistakes in the set-up of the nodes; calls are recorded and decided
	Backlog int               `json:"backlog"`           // segments without a result
	Spooled int               `json:"spooled"`           // undelivered entries of the spool
}

const databaseAnswers = 2 * time.Second

// health checks everything that serve depends on.
func (a *App) health(ctx context.Context) health {
	h := health{Faults: map[string]string{}, Delayed: map[string]string{}, Errors: map[string]string{}}
	if a.draining.Load() {
		h.Faults["drain"] = "shutting down"
	}
	if err := a.spool.Room(); err != nil {
		h.Faults["spool"] = err.Error()
	}
	if a.shared != nil {
		if err := a.shared.Fault(); errors.Is(err, audio.ErrForeign) {
			h.Faults["audio"] = fmt.Sprintf("node %s: %v", a.node, err)
		} else if err != nil {
			h.Delayed["audio"] = err.Error()
		}
	}
	if !a.lease.Held() {
		h.Delayed["lease"] = "node " + a.node + " could not renew its lease in the database; other nodes go on with its segments " +
			"(hint: check the connection to the database, nothing is lost)"
	}
	ctx, cancel := context.WithTimeout(ctx, databaseAnswers)
	defer cancel()
	if b, err := a.store.Backlog(ctx); err != nil {
		h.Delayed["database"] = "does not answer; calls are recorded into the spool (hint: check the database, nothing is lost)"
	} else {
		h.Backlog = b.Recorded + b.Submitted
		if b.Held > 0 {
			h.Delayed["in_doubt"] = fmt.Sprintf(
				"segments that wait for a person: %d; the outcome of their uploads is unknown, and they may have been paid for "+
					"(hint: review their calls, which are inconclusive; see analysis.resend_in_doubt)",
				b.Held,
			)
		}
	}
	if text := accountFault(a.worker.AccountFault()); text != "" {
		h.Delayed["account"] = text
	}
	if a.worker.BreakerOpen() {
		h.Delayed["analysis"] = "the API failed several times in a row, submissions are suspended; segments wait " +
			"(hint: check the network and analysis.base_url)"
	}
	var trouble time.Time
	if h.Spooled, trouble = a.forwarder.Waiting(); !trouble.IsZero() {
		h.Delayed["delivery"] = fmt.Sprintf(
			"delivery from the spool has failed since %s; entries wait in the spool",
			trouble.UTC().Format(time.RFC3339),
		)
	}
	if problem := disagreement(a.decider.PoliciesInForce(a.node)); problem != "" {
		h.Errors["policy"] = problem
	}
	h.Ready = len(h.Faults) == 0
	return h
}

// accountFault describes a fault of the account at the analysis API, "" without one.
func accountFault(kind analyzer.Kind) string {
	switch kind {
	case "":
		return ""
	case analyzer.KindNoCredit:
		return "the account at the analysis API has no credit, submissions are suspended; segments wait (hint: top it up)"
	}
	return "the analysis API rejects the key, submissions are suspended; segments wait (hint: check DATASPIKE_API_KEY and analysis.base_url)"
}

// disagreement describes the nodes that decide by different policies, "" if all decide by one.
func disagreement(versions map[int64][]string) string {
	if len(versions) < 2 {
		return ""
	}
	var all []string
	for _, version := range slices.Sorted(maps.Keys(versions)) {
		for _, node := range slices.Sorted(slices.Values(versions[version])) {
			all = append(all, fmt.Sprintf("%s by %d", node, version))
		}
	}
	return "nodes decide by different policies: " + strings.Join(all, ", ") + "; of their outcomes the gravest holds " +
		"(hint: give all nodes the same section policy, and reload or restart them)"
}

// checked returns the last check. While a check takes too long, the last one holds, and decisions may be late.
func (a *App) checked() health {
	h, at := a.checks.get()
	switch age := time.Since(at); {
	case at.IsZero():
		h.Faults = map[string]string{"checks": "no check has ended yet (hint: the database, the disk or the processor is too slow)"}
	case age > databaseAnswers:
		h.Delayed = maps.Clone(h.Delayed)
		h.Delayed["checks"] = fmt.Sprintf("the last check ended %v ago (hint: the database, the disk or the processor is too slow)",
			age.Round(time.Second))
	}
	return h
}

// ready answers /readyz.
func (a *App) ready(w http.ResponseWriter, _ *http.Request) {
	h := a.checked()
	if h.Ready {
		answer(w, h)
		return
	}
	w.Header().Set("Retry-After", "10")
	problem.With(
		w,
		http.StatusServiceUnavailable,
		"no new calls are accepted",
		map[string]any{
			"ready":   false,
			"faults":  h.Faults,
			"delayed": h.Delayed,
			"errors":  h.Errors,
			"backlog": h.Backlog,
			"spooled": h.Spooled,
		},
	)
}
