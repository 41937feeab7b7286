package capture

import "time"

// release writes the packets that are in order, and skips missing ones after the wait.
func (l *Leg) release(now time.Time) {
	for _, st := range l.streams {
		if st == l.current {
			l.releaseCurrent(st, now)
			continue
		}
		for st.order.held > 0 && (now.Sub(st.order.oldest()) >= holdOther || st.order.full()) {
			l.step(st)
		}
	}
}

func (l *Leg) releaseCurrent(st *stream, now time.Time) {
	if st.order.held == 0 {
		return
	}
	if !st.settled {
		if now.Sub(st.began) < l.cfg.Settle && !st.order.full() {
			return
		}
		st.settled = true
	}
	for st.order.held > 0 {
		if !st.order.has(st.order.next) && now.Sub(st.order.oldest()) < l.cfg.Wait {
			return
		}
		if l.undecided(st, now) {
			return
		}
		l.step(st)
	}
}

// step hands on the first held packet of a stream, and books those that are missing before it.
func (l *Leg) step(st *stream) {
	first := st.order.first()
	if n := first - st.order.next; n > 0 {
		l.gone(st, n)
	}
	s := st.order.take(first)
	st.order.next = first + 1
	if s.copied {
		l.stat.Repaired++
		st.order.mark(first)
	}
	switch {
	case s.reason != "":
		l.unheard(st, s, s.reason)
		st.undecoded++
	case s.format.Kind == KindEvent:
		l.stat.Events++
		l.understood(st)
	case s.format.Kind == KindNoise || len(s.payload) == 0:
		// Comfort noise and keep-alives have no duration of their own: the next audio packet ends them.
		l.understood(st)
	case st == l.current:
		l.audio(st, s)
	case l.current != nil && l.current.ssrc == st.ssrc:
		l.unheard(st, s, UnrecordedLate) // a replay
	case st.proven:
		l.unheard(st, s, UnrecordedOverlap)
	default:
		l.unheard(st, s, UnrecordedUnknownSSRC)
	}
}

// understood books a packet without audio.
func (l *Leg) understood(st *stream) {
	st.other = true
	if l.discard {
		l.books.paused.add(1, 0)
		return
	}
	l.books.recorded.add(1, 0)
}

// gone books packets that never arrived. Their time is booked where it is written.
func (l *Leg) gone(st *stream, n int64) {
	st.missing += n
	l.stat.Missing += uint64(n)
	l.books.lost.add(n, 0)
	if st != l.current {
		l.books.lost.add(0, time.Duration(n)*l.packetTime())
	}
}

// unheard books a packet that is not decoded.
func (l *Leg) unheard(st *stream, s *slot, r Reason) {
	d := st.estimate(s)
	st.booked, st.bookedSeq, st.bookedTS = s.arrival, s.seq, s.ts
	l.books.unrecord(r, 1, d)
	l.books.span(r, l.position(), l.position()+d)
}
