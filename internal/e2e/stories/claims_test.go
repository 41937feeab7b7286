package stories_test

import (
	"errors"
	"fmt"
	"time"

	"callscreen/internal/intake"
	"callscreen/internal/store"
)

// end lets all hang up, and waits until all that can be known is known.
func (st *story) end() {
	for _, p := range st.parties {
		if p.session != nil {
			how := intake.HungUp
			if !p.lost.IsZero() {
				how = intake.Lost
				st.broken[p.leg] = st.broken[p.leg] || !p.session.ended() && !p.announced
			}
			p.session.leave(how)
		}
	}
	for _, s := range st.sessions {
		s.leave(intake.HungUp)
	}
	st.note("the end")
	st.shelf.away.Store(false)
	time.Sleep(2 * time.Minute)
	for i, n := range st.nodes {
		if n == nil && (i == 0 || st.rng.IntN(2) == 0) {
			st.nodes[i] = st.start(fmt.Sprintf("n%d", i+1))
		}
	}
	for _, n := range st.nodes {
		if n != nil {
			if err := n.carry.Drain(st.t.Context()); err != nil {
				st.fatal("%v", err)
			}
		}
	}
	st.look()
	for range 30 { // until one of the nodes is up
		st.analyse(1)
	}
	for i, n := range st.nodes {
		if n != nil {
			st.shutDown(i)
		}
	}
}

// analyse has a share of the waiting segments analysed. The stand-in hears the tone.
func (st *story) analyse(share float64) {
	n := st.nodes[st.rng.IntN(2)]
	if n == nil {
		return
	}
	segments, err := st.store.Segments(st.t.Context(), st.call)
	if err != nil {
		st.fatal("%v", err)
	}
	for _, g := range segments {
		if g.Settled() || st.rng.Float64() > share {
			continue
		}
		r := store.Settlement{State: store.SegmentFailed, Reason: "job_failed", At: time.Now()}
		if st.rng.Float64() >= st.failing {
			score := st.score(g)
			r = store.Settlement{State: store.SegmentScored, Score: &score, Verdict: "simulated", At: time.Now()}
		}
		if err := n.desk.Settle(st.t.Context(), g, r, nil); err != nil && !errors.Is(err, store.ErrSettled) {
			st.fatal("%v", err)
		}
		if r.Score != nil {
			st.note("segment %s %d of part %d at %v, %v of speech: %v", g.Leg, g.Seq, g.Part, g.Offset, g.Speech, *r.Score)
		} else {
			st.note("segment %s %d of part %d: failed", g.Leg, g.Seq, g.Part)
		}
	}
}

func (st *story) score(g store.SegmentRow) float64 {
	o, size, err := st.shelf.Open(st.t.Context(), g.AudioKey)
	if err != nil {
		st.fatal("%v", err)
	}
	defer o.Close()
	data := make([]byte, size)
	if _, err := o.ReadAt(data, 0); err != nil {
		st.fatal("%v", err)
	}
	pcm := make([]int16, (size-44)/2)
	for i := range pcm {
		pcm[i] = int16(uint16(data[44+2*i]) | uint16(data[45+2*i])<<8)
	}
	if toneIn(pcm, g.Rate) >= 300*time.Millisecond {
		return 0.93
	}
	return 0.05
}

// verify checks the claims.
func (st *story) verify() {
	c, err := st.store.Call(st.t.Context(), st.call)
	if err != nil {
		st.fatal("%v", err)
	}
	parts, err := st.store.PartsOf(st.t.Context(), st.call)
	if err != nil {
		st.fatal("%v", err)
	}
	if c.State != store.CallEnded || !c.Final {
		st.fatal("the call is %s, final %v: %+v", c.State, c.Final, parts)
	}
	st.outcome = c
	st.sums(c, parts)
	type leg struct {
		number int
		name   string
	}
	tone, hidden, pauses := map[leg]time.Duration{}, map[leg]time.Duration{}, map[leg]time.Duration{}
	length := map[leg]time.Duration{}
	for _, p := range parts {
		for _, l := range p.Legs {
			key, to := legKey{p.PartKey, l.Leg}, leg{p.Number, l.Leg}
			tone[to] += st.arrived[key]
			hidden[to] += st.hidden[key]
			pauses[to] += st.pausedBy[key]
			length[to] += l.Duration
		}
	}
	if c.Published != "clear" {
		return
	}
	for name, broken := range st.broken {
		if broken {
			st.fatal("the connection of leg %s broke and did not come back, and the call is clear\n%s", name, c.Summary)
		}
	}
	if st.killed {
		st.fatal("a sidecar was killed while it recorded the call, and the call is clear\n%s", c.Summary)
	}
	for to, d := range tone {
		if pauses[to] > st.rules.policy.MaxPaused+time.Second {
			d += hidden[to]
		}
		if d > max(5*time.Second, length[to]/10+time.Second) {
			st.fatal("call %d: %v of the tone arrived on leg %s, and the call is clear\n%s", to.number, d, to.name, c.Summary)
		}
	}
}
