package screen

import (
	"log/slog"
	"sync"
	"time"
)

// gate lets submissions through to the API, and suspends them while it fails. During a suspension one submission at a time tries
// whether the API has recovered.
type gate struct {
	rest time.Duration // between two trials
	log  *slog.Logger

	mu        sync.Mutex
	suspended bool
	trying    bool
	until     time.Time // no trial before
	failures  int       // in a row
	doubts    int       // of these, uploads of unknown outcome
	failed    time.Time // last failure of an upload
	sound     bool      // the last upload was answered
	under     int       // passes in use
}

const (
	// gateFailures in a row suspend submissions. Uploads of unknown outcome may have been paid for, so two are enough.
	gateFailures = 5
	gateDoubts   = 2
	// restsOfDoubt is the longest pause between two trials, in rests, after uploads of unknown outcome. It is also the pause
	// before such an upload is itself repeated as a trial.
	restsOfDoubt = 12
)

// pass is the permission for one submission. Exactly one of its methods must be called; a later call has no effect.
type pass struct {
	gate  *gate
	trial bool
	used  bool
}

// enter returns a pass, or nil while submissions are suspended.
func (g *gate) enter() *pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.suspended {
		if g.trying || time.Now().Before(g.until) {
			return nil
		}
		g.trying = true
	}
	g.under++
	return &pass{gate: g, trial: g.suspended}
}

// closed reports whether submissions are suspended.
func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.suspended
}

// standing is the state of the gate that decides about repeated uploads.
type standing struct {
	sound     bool          // the last upload was answered
	others    int           // uploads under way, beside the one of the caller
	sinceFail time.Duration // since the last failure of an upload; very long without one
}

func (g *gate) standing() standing {
	g.mu.Lock()
	defer g.mu.Unlock()
	return standing{g.sound, g.under - 1, time.Since(g.failed)}
}

func (p *pass) end(change func(g *gate)) {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.used {
		return
	}
	p.used = true
	g.under--
	if p.trial {
		g.trying = false
	}
	change(g)
}

// release returns a pass that was not used.
func (p *pass) release() { p.end(func(*gate) {}) }

// answered reports that the API answered the upload.
func (p *pass) answered() {
	p.end(func(g *gate) {
		if g.suspended {
			g.log.Info("analysis API recovered")
		}
		g.suspended, g.sound, g.failures, g.doubts = false, true, 0, 0
	})
}

// unanswered reports that the API did not answer a probe. The failure of a probe concerns no upload.
func (p *pass) unanswered() {
	p.end(func(g *gate) { g.fail(p, g.rest) })
}

// failed reports that the upload failed, or, in doubt, that its outcome is unknown.
func (p *pass) failed(doubt bool) {
	p.end(func(g *gate) {
		g.sound, g.failed = false, time.Now()
		pause := g.rest
		if doubt {
			g.doubts++
			pause = min(g.rest<<min(max(g.doubts-gateDoubts, 0), 10), restsOfDoubt*g.rest)
		}
		g.fail(p, pause)
	})
}

// fail counts a failure, and begins a suspension or its next pause.
func (g *gate) fail(p *pass, pause time.Duration) {
	g.failures++
	switch {
	case g.suspended && !p.trial: // it was under way before the suspension
	case g.suspended:
		g.until = time.Now().Add(pause)
	case g.failures >= gateFailures || g.doubts >= gateDoubts:
		g.suspended, g.until = true, time.Now().Add(pause)
		g.log.Error(
			"analysis API failing, submissions suspended",
			"failures",
			g.failures,
			"hint",
			"nothing is lost, segments wait; check the network and analysis.base_url",
		)
	}
}
