package capture

import "time"

// audio decodes a packet and writes it at its place.
func (l *Leg) audio(st *stream, s *slot) {
	t := &l.timeline
	if s.format.id != l.format {
		l.changeFormat(s)
	}
	a := l.arriving(st, s)
	hold := int64(0)
	if t.mayBeHeld(s.arrival) && t.held(a) >= t.samples(minHold) && !l.burst(st, s) {
		hold = t.held(a)
	}
	fresh := !t.anchored
	gap, restarted := t.gap(a, st.order)
	if restarted {
		l.stat.Restarts++
	}
	if hold > 0 {
		t.shift(hold)
		gap += hold
	}
	if gap > 0 {
		l.fill(gap, st, s, fresh)
	}
	st.missing, st.undecoded, st.other = 0, 0, false
	t.placed(s.arrival, t.pos)
	pcm, err := l.decode(s)
	if err != nil {
		l.stat.Undecoded++
		l.unheard(st, s, UnrecordedCodec)
		st.undecoded = 1 // its length is known once the next one is decoded
		return
	}
	n := int64(len(pcm))
	if n == 0 {
		l.understood(st)
		return
	}
	l.stat.Decoded += n
	t.packet, l.payload = n, int64(len(s.payload))
	if fresh {
		t.foresee(s, n, st.order)
	}
	l.write(pcm, 1)
}

// arriving returns a packet as the timeline sees it.
func (l *Leg) arriving(st *stream, s *slot) arriving {
	return arriving{
		ts:      s.ts,
		clock:   int64(s.format.ClockRate),
		at:      s.arrival,
		missing: st.missing + st.undecoded,
		plain:   !st.other,
		before:  l.conceal.last,
	}
}

// doubtFor is the time for which packets are collected to tell a hold from a delay in the network.
const doubtFor = 500 * time.Millisecond

// undecided reports whether the next packet must wait because it may come after a hold: after a delay in the network, the
// packets that follow arrive faster than they were sent.
func (l *Leg) undecided(st *stream, now time.Time) bool {
	t, s := &l.timeline, st.order.at(st.order.first())
	if !t.mayBeHeld(s.arrival) || s.reason != "" || s.format.Kind != KindAudio || len(s.payload) == 0 {
		return false
	}
	a := l.arriving(st, s)
	a.missing += s.seq - st.order.next
	return t.held(a) >= t.samples(minHold) && now.Sub(s.arrival) < doubtFor && !st.order.full()
}

// burst reports whether the packets held behind s arrived faster than they were sent.
func (l *Leg) burst(st *stream, s *slot) bool {
	last, ok := st.order.last()
	if !ok {
		return false
	}
	sent := Duration((last.seq-s.seq)*l.timeline.packet, l.Rate())
	if d := int32(last.ts - s.ts); d > 0 && last.format.id == s.format.id { // packets can have become shorter
		sent = min(sent, Duration(int64(d), int(s.format.ClockRate)))
	}
	return sent-last.arrival.Sub(s.arrival) >= 100*time.Millisecond
}

// changeFormat prepares for a payload type other than that of the packet before.
func (l *Leg) changeFormat(s *slot) {
	s.format.Decoder.Reset()
	l.format, l.payload = s.format.id, 0
	rate := s.format.Decoder.Rate()
	if rate > l.Rate() && !l.fixed {
		l.raise(rate)
	}
	l.convert = rate != l.Rate()
	if r := l.resampler; l.convert && (r == nil || r.from != rate || r.to != l.Rate()) {
		l.resampler = newResampler(rate, l.Rate())
	}
}

// raise makes a higher rate that of the leg, if the sink can take it.
func (l *Leg) raise(rate int) {
	sink, ok := l.sink.(RateSink)
	if !ok || sink.Raise(rate) != nil {
		l.fixed = true
		return
	}
	from := l.Rate()
	for _, n := range []*int64{
		&l.stat.Decoded, &l.stat.Concealed, &l.stat.Lost, &l.stat.Silent, &l.books.decoded, &l.books.written, &l.books.muted,
	} {
		*n = rescale(*n, from, rate)
	}
	l.books.decoded = l.books.written + l.books.muted // rounding
	l.timeline.raise(rate)
	l.conceal = newConcealer(rate)
}

// decode returns the audio of a packet at the rate of the leg.
func (l *Leg) decode(s *slot) ([]int16, error) {
	raw, err := s.format.Decoder.Decode(l.raw[:0], s.payload)
	l.raw = raw[:0]
	if err != nil || !l.convert {
		l.books.decoded += int64(len(raw))
		return raw, err
	}
	l.pcm = l.resampler.process(l.pcm[:0], raw)
	l.books.decoded += int64(len(l.pcm))
	return l.pcm, nil
}

// write writes decoded audio of some packets.
func (l *Leg) write(pcm []int16, packets int64) {
	n := int64(len(pcm))
	l.conceal.heard(pcm)
	if l.discard {
		l.books.muted += n
		l.books.paused.add(packets, 0)
		l.gapTo(n, false)
		return
	}
	l.books.written += n
	l.books.recorded.add(packets, Duration(n, l.Rate()))
	l.sink.Write(pcm)
	l.timeline.pos += n
}

// madeUp writes synthesized audio in place of lost audio.
func (l *Leg) madeUp(pcm []int16, r Reason) {
	n := int64(len(pcm))
	l.stat.Concealed += n
	l.stat.Lost += n
	if l.discard {
		l.gapTo(n, false)
		return
	}
	l.lostTime(n, r)
	l.sink.Conceal(pcm)
	l.timeline.pos += n
}

// lose writes a gap in place of lost audio.
func (l *Leg) lose(n int64, r Reason) {
	l.stat.Lost += n
	if !l.discard {
		l.lostTime(n, r)
	}
	l.gapTo(n, !l.discard)
}

// gapTo advances the sink and the position.
func (l *Leg) gapTo(n int64, lost bool) {
	if l.discard {
		from := l.position()
		d := Duration(n, l.Rate())
		l.books.paused.add(0, d)
		l.books.span(MissingPaused, from, from+d)
	}
	l.sink.Gap(n, lost)
	l.timeline.pos += n
}

// lostTime books the time of n samples that are missing at the position of the leg. The time of packets that could not be
// decoded is booked with the packets.
func (l *Leg) lostTime(n int64, r Reason) {
	from, d := l.position(), Duration(n, l.Rate())
	if r == MissingLost {
		l.books.lost.add(0, d)
	}
	l.books.span(r, from, from+d)
}

// almostSilent reports whether no sample exceeds -50 dBFS.
func almostSilent(pcm []int16) bool {
	for _, v := range pcm {
		if v > 104 || v < -104 {
			return false
		}
	}
	return true
}
