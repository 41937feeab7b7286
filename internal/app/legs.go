package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"callscreen/internal/auth"
	"callscreen/internal/intake"
	"callscreen/internal/problem"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// legControl answers the requests about a leg that is being recorded on this node.
type legControl struct {
	calls interface {
		Call(id string) *screen.LiveCall
	}
	// holder returns the sender that records a leg, or did so last, false if there is none.
	holder func(call, leg string) (intake.Sender, bool)
	// end ends the WHIP sessions of a leg, of the senders that may be meant. It returns false if there is none.
	end func(call, leg string, may func(intake.Sender) bool) bool
	// stopPull handles the request if the leg is pulled from a media server, or answers 404.
	stopPull http.HandlerFunc
	// audit stores a line. It may fail while the database does not answer.
	audit func(ctx context.Context, l store.Line) error
	log   *slog.Logger
}

// routes are open to the sender of a leg and to reviewers.
func (l legControl) routes() map[string]http.HandlerFunc {
	const leg = " /api/v1/calls/{call}/legs/{leg}/"
	return map[string]http.HandlerFunc{
		"POST" + leg + "pause":  func(w http.ResponseWriter, r *http.Request) { l.setPaused(w, r, true) },
		"POST" + leg + "resume": func(w http.ResponseWriter, r *http.Request) { l.setPaused(w, r, false) },
		"POST" + leg + "stop":   l.stop,
	}
}

// permitted reports whether the client may control the leg, or answers 403: a program may control the legs that it sends
// itself. A person with the role reviewer may control all legs.
func (l legControl) permitted(w http.ResponseWriter, r *http.Request) bool {
	sender, ok := auth.SenderFrom(r.Context())
	if !ok || auth.May(r.Context(), "reviewer") {
		return true
	}
	holder, held := l.holder(r.PathValue("call"), r.PathValue("leg"))
	if !held || holder.Same(intake.Sender(sender)) {
		return true // without a holder there is nothing to control
	}
	l.log.Warn("leg control refused", "call", r.PathValue("call"), "leg", r.PathValue("leg"), "by", sender.Name, "holder", holder.Name)
	problem.Write(w, http.StatusForbidden, "another sender records this leg (permitted: its sender, or the role reviewer)")
	return false
}

// setPaused discards the audio of a leg until it is resumed, as while a payment card is read out.
func (l legControl) setPaused(w http.ResponseWriter, r *http.Request, paused bool) {
	c := l.calls.Call(r.PathValue("call"))
	if c == nil {
		problem.Write(w, http.StatusNotFound, "there is no such call in progress on this node")
		return
	}
	if !l.permitted(w, r) {
		return
	}
	leg, change, what := r.PathValue("leg"), c.Recorder().Resume, store.AuditLegResumed
	if paused {
		change, what = c.Recorder().Pause, store.AuditLegPaused
	}
	if !change(leg, auth.Actor(r.Context())) {
		problem.Write(w, http.StatusNotFound, "the call has no such leg")
		return
	}
	discarded := report.Seconds(c.Recorder().Stats()[leg].Paused)
	l.note(r, what, store.Detail{"leg": leg, "discarded_seconds": discarded})
	answer(
		w,
		map[string]any{
			"call":              r.PathValue("call"),
			"leg":               leg,
			"paused":            paused,
			"discarded_seconds": discarded,
		},
	)
}

// note writes an audit line for a request. The ledger of the leg also records the user who paused it.
func (l legControl) note(r *http.Request, what string, detail store.Detail) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), databaseAnswers)
	defer cancel()
	line := store.Line{
		At:     time.Now(),
		Actor:  auth.Actor(r.Context()),
		What:   what,
		Call:   r.PathValue("call"),
		Detail: detail,
	}
	if err := l.audit(ctx, line); err != nil {
		l.log.Error("audit line lost", "call", line.Call, "what", what, "by", line.Actor, "error", err)
	}
}

// stop ends the session of a leg.
func (l legControl) stop(w http.ResponseWriter, r *http.Request) {
	call, leg := r.PathValue("call"), r.PathValue("leg")
	if !l.permitted(w, r) {
		return
	}
	if c := l.calls.Call(call); c != nil {
		if _, held := l.holder(call, leg); held {
			c.Warn(fmt.Sprintf("leg %s was stopped by %s", leg, auth.Actor(r.Context())))
			l.note(r, store.AuditLegStopped, store.Detail{"leg": leg})
		}
	}
	sender, program := auth.SenderFrom(r.Context())
	mine := func(other intake.Sender) bool { return other.Same(intake.Sender(sender)) }
	if !program || auth.May(r.Context(), "reviewer") {
		mine = func(intake.Sender) bool { return true }
	}
	if l.end(call, leg, mine) {
		answer(w, map[string]any{"call": call, "leg": leg, "stopped": true})
		return
	}
	l.stopPull(w, r)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}
