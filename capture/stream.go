package capture

import "time"

// stream is one sequence of packets of an SSRC. A leg hears one of its streams at a time, see [Leg.choose].
type stream struct {
	ssrc   uint32
	rank   int64 // streams that started later have a higher one
	order  *order
	source *source

	began   time.Time // arrival of the first packet
	last    time.Time // arrival of the newest packet
	settled bool      // the wait for packets from before the first one is over
	audio   int       // audio packets that arrived since another stream was heard
	proven  bool      // it was heard, or has more than one audio packet
	base    int64     // extended sequence number of the first packet
	behind  int       // packets in a row that did not advance the sequence

	times sentTimes // of audio packets, for the copies of RED

	// The last packet that was booked without being decoded.
	booked    time.Time // its arrival
	bookedSeq int64
	bookedTS  uint32

	missing   int64 // packets that never arrived before the next audio
	undecoded int64 // packets that could not be decoded before the next audio
	other     bool  // there were packets without audio before the next audio
}

// After so many packets in a row that are late or duplicate, the sender has restarted just behind its old sequence.
const maxBehind = 10

// maxStreams bounds the streams that a leg keeps.
const maxStreams = 4

// decided returns the number of sequence numbers whose fate is known.
func (s *stream) decided() int64 {
	if !s.order.started {
		return 0
	}
	return s.order.next - s.base
}

// estimate returns the time of a packet that is not decoded: the greater of those that its timestamp and its arrival show,
// since the packet before.
func (s *stream) estimate(p *slot) time.Duration {
	if s.booked.IsZero() {
		return defaultPacket
	}
	d := min(p.arrival.Sub(s.booked), maxPacket)
	if n := p.seq - s.bookedSeq; n > 0 && p.format.ClockRate > 0 {
		step := time.Duration(int32(p.ts-s.bookedTS)) * time.Second / time.Duration(p.format.ClockRate) / time.Duration(n)
		if step <= maxPacket {
			d = max(d, step)
		}
	}
	if d <= 0 {
		return defaultPacket
	}
	return d
}

// maxPacket is the longest packet that is believed without decoding it.
const maxPacket = 120 * time.Millisecond

// stream returns the stream that a packet belongs to, new if need be, and its extended sequence number.
func (l *Leg) stream(p packet, arrival time.Time) (st *stream, seq int64) {
	for _, s := range l.streams {
		if s.ssrc != p.ssrc {
			continue
		}
		n := s.order.extend(p.seq)
		d := n - s.order.highest
		part := d <= maxJump && d >= -orderSlots && l.fits(s, d, arrival) && !s.contradicts(n, p)
		if part && (st == nil || abs(d) <= abs(seq-st.order.highest)) {
			st, seq = s, n
		}
	}
	if st != nil && (seq > st.order.highest || st.behind < maxBehind || l.belated(st, seq, p.ts)) {
		return st, seq
	}
	if c := l.current; c != nil && c.ssrc == p.ssrc && l.timeline.plausible(p.ts, arrival) {
		if n, ok := l.afterBlackout(p, arrival); ok {
			return c, n
		}
	}
	return l.open(p.ssrc, arrival), int64(p.seq) + 1<<16
}

// afterBlackout returns the extended sequence number of a packet far ahead of the last one. Sequence numbers wrap in a
// blackout of 2^16 packets; the time that has passed shows how often.
func (l *Leg) afterBlackout(p packet, arrival time.Time) (seq int64, ok bool) {
	o := l.current.order
	seq = o.extend(p.seq)
	elapsed := l.timeline.samples(arrival.Sub(l.timeline.arrival))
	if l.timeline.packet > 0 && seq-o.highest < elapsed/l.timeline.packet {
		wraps := (elapsed/l.timeline.packet - (seq - o.highest) + 1<<15) >> 16
		seq += wraps << 16
	}
	return seq, seq > o.highest && l.fits(l.current, seq-o.highest, arrival)
}

// belated reports whether a packet is one that a stream misses: its number has not arrived, and its timestamp is that of its
// number. A restart has other timestamps.
func (l *Leg) belated(s *stream, seq int64, ts uint32) bool {
	last := s.order.at(s.order.highest)
	if s.order.arrived(seq) || last.seq != s.order.highest || last.format.ClockRate == 0 || l.timeline.packet == 0 {
		return false
	}
	ticks := l.timeline.packet * int64(last.format.ClockRate) / l.timeline.rate
	off := int64(int32(last.ts-ts)) - (last.seq-seq)*ticks
	return abs(off) <= ticks
}

// contradicts reports whether another packet with the same sequence number had another timestamp or payload.
func (s *stream) contradicts(seq int64, p packet) bool {
	if !s.order.started || seq > s.order.highest {
		return false
	}
	known := s.order.at(seq)
	return known.seq == seq && known.ts != p.ts ||
		s.order.highest-seq < printWindow && s.order.arrived(seq) && !s.order.repeats(seq, printOf(p))
}

// maxTransit is the change of the transit time that is believed, as when a full queue on the way is dropped.
const maxTransit = 2 * time.Second

// fits reports whether a stream can have sent n packets since its last one. A greater jump is a restart.
func (l *Leg) fits(s *stream, n int64, arrival time.Time) bool {
	if n <= orderSlots || s != l.current || l.timeline.packet == 0 {
		return true
	}
	return Duration(n*l.timeline.packet, l.Rate()) <= arrival.Sub(s.last)+maxTransit
}

// open adds a stream.
func (l *Leg) open(ssrc uint32, arrival time.Time) *stream {
	if len(l.streams) == maxStreams {
		oldest := -1
		for i, s := range l.streams {
			if s != l.current && (oldest < 0 || s.expendable(l.streams[oldest])) {
				oldest = i
			}
		}
		l.shut(l.streams[oldest])
		l.spare = l.streams[oldest].order
		l.streams = append(l.streams[:oldest], l.streams[oldest+1:]...)
	}
	ring := l.spare
	if ring == nil {
		ring = &order{}
	}
	ring.reset()
	l.spare = nil
	l.rank++
	st := &stream{
		ssrc:   ssrc,
		rank:   l.rank,
		order:  ring,
		began:  arrival,
		last:   arrival,
		source: l.books.source(ssrc, l.opened),
	}
	if st.source.first.IsZero() {
		st.source.first = arrival
	}
	st.source.restart()
	l.streams = append(l.streams, st)
	return st
}

// expendable reports whether a stream makes room before another one: before those that were heard, and before those that
// sent later.
func (s *stream) expendable(o *stream) bool {
	if s.proven != o.proven {
		return o.proven
	}
	return s.last.Before(o.last)
}

// shut books what a stream holds, and closes it.
func (l *Leg) shut(st *stream) {
	l.drain(st)
	l.books.sequence += st.decided()
}

// place makes room for a packet. It returns false for a packet whose place was filled before, which is booked.
func (l *Leg) place(st *stream, seq int64, print uint32) bool {
	o := st.order
	switch {
	case !o.started:
		o.started, o.highest, o.next, st.base = true, seq, seq, seq
		o.advance(seq)
		st.source.show(1)
	case seq > o.highest:
		st.behind = 0
		st.source.show(seq - o.highest)
		o.advance(seq)
	case !o.arrived(seq):
		l.stat.Reordered++
	}
	if o.arrived(seq) {
		st.behind++
		if !o.repeats(seq, print) {
			l.books.outside++
			l.books.unrecord(UnrecordedOverlap, 1, l.packetTime())
			return false
		}
		l.stat.Duplicate++
		l.books.duplicate.add(1, 0)
		return false
	}
	if seq < st.base && st.base == o.next && !st.settled && o.highest-seq < orderSlots {
		st.source.show(st.base - seq)
		o.next, st.base = seq, seq
	}
	if seq < o.next {
		st.behind++
		o.prints[seq&(printWindow-1)] = print
		l.late(st, seq)
		return false
	}
	for seq-o.next >= orderSlots {
		st.settled = true
		if st != l.current && l.stopped(st) {
			l.hear(st)
		}
		if o.held == 0 {
			l.gone(st, seq-o.next)
			o.next = seq
			break
		}
		l.step(st)
	}
	o.mark(seq)
	o.prints[seq&(printWindow-1)] = print
	return true
}

// late books a packet that arrived after its place was given up. It was booked as lost, unless it was sent before the first
// packet of the stream.
func (l *Leg) late(st *stream, seq int64) {
	l.stat.Late++
	st.order.mark(seq)
	d := l.packetTime()
	if seq < st.base {
		st.source.show(st.base - seq)
		l.books.lost.add(st.base-seq-1, 0)
		st.base = seq
		l.books.unrecord(UnrecordedLate, 1, d)
		return
	}
	l.books.lost.add(-1, -min(d, l.books.lost.Time))
	l.books.unrecord(UnrecordedLate, 1, d)
}

// packetTime returns the time of the last decoded packet, or a default.
func (l *Leg) packetTime() time.Duration {
	if n := l.timeline.packet; n > 0 {
		return Duration(n, int(l.timeline.rate))
	}
	return defaultPacket
}

// choose decides which stream is heard. A newer SSRC replaces an older one when it has two audio packets and has settled:
// the packets of both may interleave when a sender changes it. An older stream is heard again when the newer one has been silent. A new
// sequence of the same SSRC is a restart of the sender if the old sequence has stopped, otherwise a replay of old packets.
func (l *Leg) choose(now time.Time) {
	for _, st := range l.streams {
		if st != l.current && l.succeeds(st, now) {
			l.hear(st)
		}
	}
}

const (
	// An older stream replaces the current one after a silence of this length, as does a newer one of a single packet.
	idleStream = 200 * time.Millisecond
	// A sequence of an SSRC has stopped after this time without packets in which another sequence goes on.
	stoppedSequence = 60 * time.Millisecond
	// A packet of a stream that is not heard is held for so long, in case the stream is heard again.
	holdOther = 250 * time.Millisecond
)

func (l *Leg) succeeds(st *stream, now time.Time) bool {
	c := l.current
	if st.audio == 0 {
		return false
	}
	if c == nil {
		return true
	}
	alone := st.last.Sub(c.last) // the time for which only st has sent
	switch {
	case st.ssrc == c.ssrc:
		return st.audio >= 2 && alone >= stoppedSequence
	case st.rank > c.rank && !st.last.Before(c.last) && now.Sub(c.last) >= idleStream:
		return true // a single packet, as before DTX
	case st.rank > c.rank && st.audio >= 2:
		return now.Sub(st.began) >= l.cfg.Settle // packets of the older one may still be on their way
	}
	return alone >= idleStream
}

// stopped reports whether no packet of the current stream has arrived since the first held one of another stream.
func (l *Leg) stopped(st *stream) bool {
	return st.audio >= 2 && (l.current == nil || st.order.held > 0 && !l.current.last.After(st.order.oldest()))
}

// hear makes a stream the current one.
func (l *Leg) hear(st *stream) {
	if c := l.current; c != nil {
		l.drain(c)
		c.audio = 0
		l.stat.Restarts++
		l.timeline.leave()
		l.conceal.reset()
		l.format, l.resampler = noFormat, nil
	}
	st.proven, l.current = true, st
	st.missing, st.undecoded, st.other = 0, 0, false
}

// drain hands on all held packets of a stream.
func (l *Leg) drain(st *stream) {
	st.settled = true
	for st.order.held > 0 {
		l.step(st)
	}
}

func abs(n int64) int64 { return max(n, -n) }
