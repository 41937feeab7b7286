package simulation_test

import (
	"fmt"
	"slices"
	"time"
)

// fault is an event that disturbs the world.
type fault struct {
	at   time.Time
	name string
	do   func()
}

// faults draws the faults of a world, in their order.
func (w *world) faults() (list []fault) {
	rng := w.rng
	span := w.healed.Sub(w.began)
	add := func(at time.Time, name string, do func()) {
		if at.Before(w.healed) {
			list = append(list, fault{at, name, do})
		}
	}
	for range rng.IntN(7) {
		at := w.began.Add(time.Duration(rng.Int64N(int64(span))))
		until := at.Add(time.Duration(2+rng.IntN(50)) * time.Second)
		i := rng.IntN(len(w.names))
		name := w.names[i]
		// with does something to the process that runs then.
		with := func(at time.Time, what string, change func(p *process)) {
			add(at, name+" "+what, func() {
				if n := w.nodes[i]; n != nil {
					n.set(change)
				}
			})
		}
		switch rng.IntN(10) {
		case 0, 1, 2:
			m := mode(1 + rng.IntN(int(modes)-1))
			add(at, "api: "+m.String(), func() { w.api.set(m) })
			add(until, "api: healthy", func() { w.api.set(healthy) })
		case 3:
			w.disturbed = true
			p := []float64{0.01, 0.05, 0.2, 1}[rng.IntN(4)]
			with(at, fmt.Sprintf("fails %v of its statements", p), func(n *process) { n.rate = p })
			with(until, "fails no statement", func(n *process) { n.rate = 0 })
		case 4:
			w.disturbed = true
			add(at, name+" freezes", func() { w.each(i, func(n *node) { n.freeze() }) })
			add(until, name+" goes on", func() { w.each(i, func(n *node) { n.thaw() }) })
		case 5, 6:
			w.disturbed = true
			kill := rng.IntN(3) > 0
			add(at, fmt.Sprintf("%s ends, killed %v", name, kill), func() {
				w.each(i, func(n *node) { n.end(kill) })
				w.nodes[i] = nil
			})
			add(until, name+" starts", func() {
				if w.nodes[i] == nil {
					w.nodes[i] = w.start(name)
				}
			})
		case 7:
			d := []time.Duration{-time.Hour, -90 * time.Second, -20 * time.Second, 2 * time.Minute, time.Hour}[rng.IntN(5)]
			with(at, fmt.Sprintf("sets its clock by %v", d), func(n *process) { n.ahead += d })
			if rng.IntN(2) == 0 {
				with(until, "sets its clock right", func(n *process) { n.ahead = 0 })
			}
		case 8:
			if rng.IntN(2) == 0 {
				with(at, "does not see the audio", func(n *process) { n.blind = true })
				with(until, "sees the audio", func(n *process) { n.blind = false })
			} else {
				with(at, "cannot store audio", func(n *process) { n.full = true })
				with(until, "can store audio", func(n *process) { n.full = false })
			}
		case 9:
			slow := rng.IntN(2) == 0
			add(at, "receiver: away or slow", func() { w.receiver.set(!slow, slow) })
			add(until, "receiver: there", func() { w.receiver.set(false, false) })
		}
	}
	if w.backlog { // the API goes away when a job is under way
		add(w.began.Add(8*time.Second), "api: 503", func() { w.api.set(busy) })
	}
	slices.SortStableFunc(list, func(a, b fault) int { return a.at.Compare(b.at) })
	return list
}

func (w *world) each(i int, do func(n *node)) {
	if n := w.nodes[i]; n != nil {
		do(n)
	}
}

func (r *receiver) set(away, slow bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away, r.slow = away, slow
}

// heal ends all faults. Clocks stay as they are.
func (w *world) heal() {
	w.note("all is well")
	w.api.set(healthy)
	w.receiver.set(false, false)
	for i, n := range w.nodes {
		if n == nil {
			w.nodes[i] = w.start(w.names[i])
			continue
		}
		n.thaw()
		n.set(func(p *process) { p.rate, p.blind, p.full = 0, false, false })
	}
}
