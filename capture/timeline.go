package capture

import "time"

// timeline maps RTP timestamps to positions in the leg.
//
// Timestamps are compared with what sequence numbers and decoded lengths show. Where they agree within a tolerance, audio
// is contiguous, and the difference is corrected in the next pause. Where they cannot be right, sequence numbers, lengths
// and arrival times take their place.
type timeline struct {
	rate int64 // Hz of the audio

	pos    int64 // samples written
	packet int64 // samples of the last decoded packet

	anchored bool  // a packet of this stream was placed
	anchorTS int64 // extended timestamp of the first such packet; all are measured from it, so that rounding does not add up
	anchorAt int64 // its position
	lastTS   int64 // extended timestamp of the last packet, corrected if it was wrong
	sentTS   uint32
	odd      bool   // the last timestamp was wrong
	clock    int64  // Hz of the timestamps, as negotiated
	num, den int64  // samples for ticks
	scale    factor // detects timestamps at another clock
	arrival  time.Time

	began   time.Time // arrival of the first packet of the stream
	beganAt int64     // its position
	pauses  int64     // samples of pauses that timestamps showed since

	// The least recent transit time (arrival time minus position) aligns two streams whose timestamps are unrelated.
	transit [2]time.Time // of this transitWindow and the one before
	turn    time.Time
	left    bool      // another stream came before
	origin  time.Time // time of position 0 by the transit of that stream
}

const (
	// transitWindow is short enough for clock drift to be negligible.
	transitWindow = 5 * time.Second
	// A timestamp may run ahead of the clock by this much, as when packets were delayed before a pause.
	maxAhead = 5 * time.Second
	// Timestamps may differ from decoded lengths by less than this between two packets without a pause in between.
	wobble = 10 * time.Millisecond
	// Differences that add up to this are corrected in the next quiet packet, those that add up to maxDrift at once.
	minDrift = 20 * time.Millisecond
	maxDrift = 100 * time.Millisecond
	// Packets that arrive later than all else shows by this much come after a hold, or were held up on the way. A sender on
	// a busy machine stalls for a second and does not always catch up within doubtFor; a shorter hold shortens the tape by
	// its own length and loses nothing.
	minHold = 1500 * time.Millisecond
)

// at returns the position of a timestamp.
func (t *timeline) at(ts uint32) int64 {
	return t.anchorAt + t.length(t.extend(ts)-t.anchorTS)
}

// length converts ticks to samples.
func (t *timeline) length(ticks int64) int64 {
	if ticks < 0 { // round towards minus infinity, as for positive lengths
		return -((-ticks*t.num + t.den - 1) / t.den)
	}
	return ticks * t.num / t.den
}

func (t *timeline) extend(ts uint32) int64 {
	return t.lastTS + int64(int32(ts-uint32(t.lastTS)))
}

// arriving is a packet that is to be placed.
type arriving struct {
	ts      uint32
	clock   int64
	at      time.Time
	missing int64   // packets before it of which no audio was written
	plain   bool    // no packet without audio came before it
	before  []int16 // the newest audio of the leg, up to 20 ms
}

// advance returns the samples from the end of the last packet to the start of another one by its timestamp, and whether
// that can be right.
func (t *timeline) advance(a arriving) (n int64, ok bool) {
	n = t.length(t.extend(a.ts)-t.lastTS) - t.packet
	ahead := t.samples(maxAhead)
	switch {
	case a.clock != t.clock:
		return 0, false
	case n <= -t.samples(wobble):
		return 0, false
	case n > t.samples(a.at.Sub(t.arrival))+ahead || n > 0 && t.pauses+n > t.samples(a.at.Sub(t.began))+ahead:
		return 0, false
	}
	return n, true
}

// mayBeHeld reports whether held can return minHold or more.
func (t *timeline) mayBeHeld(arrival time.Time) bool {
	return t.anchored && arrival.Sub(t.arrival) >= minHold
}

// held returns the samples by which a packet arrives later than its timestamp or sequence number shows.
func (t *timeline) held(a arriving) int64 {
	n, ok := t.advance(a)
	if !ok {
		n = a.missing * t.packet
	}
	return t.samples(a.at.Sub(t.arrival)) - t.packet - max(n, 0)
}

// gap returns the number of samples between the end of the written audio and the place of a packet. restarted reports that
// the timestamps jumped.
func (t *timeline) gap(a arriving, ring *order) (gap int64, restarted bool) {
	if !t.anchored {
		if t.left {
			gap = max(0, t.samples(t.start(a.ts, a.clock, a.at, ring).Sub(t.origin))-t.pos)
		}
		t.num, t.den, t.clock, t.scale = t.rate, a.clock, a.clock, factor{}
		t.tie(a.ts, t.pos+gap)
		t.began, t.beganAt, t.pauses, t.odd = a.at, t.pos+gap, 0, false
		return gap, false
	}
	if a.clock != t.clock { // another codec: its timestamps are unrelated
		gap = a.missing * t.packet
		t.num, t.den, t.clock, t.scale = t.rate, a.clock, a.clock, factor{}
		t.tie(a.ts, t.pos+gap)
		return gap, false
	}
	step, length, since := int64(int32(a.ts-t.sentTS)), t.packet, t.samples(a.at.Sub(t.arrival))
	continues := t.odd && a.missing == 0 && abs(t.length(step)-length) < t.samples(wobble)
	if a.missing == 0 && a.plain && t.scale.learn(step, length, t.length(step), since) {
		t.num, t.den = length, step
		t.tie(a.ts, t.pos)
		return 0, false
	}
	n, ok := t.advance(a)
	drift := t.at(a.ts) - t.pos
	switch {
	case !ok && continues: // two timestamps in a row that agree with each other
		t.tie(a.ts, t.pos)
		return 0, true
	case !ok:
		gap = a.missing * t.packet
		t.odd = true
		t.lastTS += (t.packet + gap) * t.den / t.num // the timestamp that the packet should have had
		t.sentTS = a.ts
		return gap, false
	case a.missing == 0 && n < t.samples(wobble):
		gap = t.corrected(a, drift)
	default:
		gap = max(0, drift)
	}
	t.odd = false
	t.pauses += max(0, n)
	t.lastTS, t.sentTS = t.extend(a.ts), a.ts
	if gap == 0 && drift < -t.samples(maxDrift) { // the audio is longer than the timestamps show: it is not cut
		t.tie(a.ts, t.pos)
	}
	return gap, false
}

// corrected returns the silence before a packet that follows the one before without a pause: none, unless small
// differences have added up and arrival times confirm them.
func (t *timeline) corrected(a arriving, drift int64) int64 {
	if drift < t.samples(minDrift) || drift < t.samples(maxDrift) && !almostSilent(a.before) {
		return 0
	}
	if t.samples(a.at.Sub(t.began))-(t.pos-t.beganAt) < drift/2 {
		if drift >= t.samples(maxDrift) {
			t.tie(a.ts, t.pos)
		}
		return 0
	}
	return drift
}

// tie makes a timestamp the anchor of the stream, at a position.
func (t *timeline) tie(ts uint32, at int64) {
	t.anchored, t.odd = true, false
	t.anchorTS, t.anchorAt, t.lastTS, t.sentTS = int64(ts), at, int64(ts), ts
}

// shift moves the anchor, as after a hold in which the timestamps stood still.
func (t *timeline) shift(samples int64) { t.anchorAt += samples }

// start returns the time at which the first packet of a stream would have arrived with the least transit time of those held.
func (t *timeline) start(ts uint32, clock int64, arrival time.Time, ring *order) time.Time {
	start := arrival
	for i := range ring.slots {
		s := &ring.slots[i]
		ticks := int64(int32(s.ts - ts))
		if s.used && int64(s.format.ClockRate) == clock && ticks >= 0 && ticks < clock*int64(maxAhead/time.Second) {
			after := time.Duration(ticks) * time.Second / time.Duration(clock)
			if at := s.arrival.Add(-after); at.Before(start) {
				start = at
			}
		}
	}
	return start
}

// placed records that a packet that arrived at a time lies at a position.
func (t *timeline) placed(arrival time.Time, at int64) {
	t.arrival = arrival
	origin := arrival.Add(-Duration(at, int(t.rate)))
	if arrival.Sub(t.turn) >= transitWindow {
		t.transit[1], t.transit[0], t.turn = t.transit[0], origin, arrival
	} else if origin.Before(t.transit[0]) {
		t.transit[0] = origin
	}
}

// plausible reports whether a timestamp fits its arrival time, as that of a packet after a long blackout does.
func (t *timeline) plausible(ts uint32, arrival time.Time) bool {
	if !t.anchored {
		return false
	}
	off := t.samples(arrival.Sub(t.arrival)) - (t.at(ts) - t.pos)
	return off < t.samples(2*time.Second) && off > -t.samples(2*time.Second)
}

// leave ends a stream. Only its place in time is kept.
func (t *timeline) leave() {
	if t.anchored {
		t.left, t.origin = true, t.transit[0]
		if !t.transit[1].IsZero() && t.transit[1].Before(t.origin) {
			t.origin = t.transit[1]
		}
	}
	t.anchored, t.packet = false, 0
	t.transit, t.turn = [2]time.Time{}, time.Time{}
}

// raise converts all positions to a higher rate.
func (t *timeline) raise(rate int) {
	from := int(t.rate)
	for _, n := range []*int64{&t.pos, &t.packet, &t.anchorAt, &t.beganAt, &t.pauses} {
		*n = rescale(*n, from, rate)
	}
	if t.anchored {
		g := int64(gcd(from, rate))
		t.num, t.den = t.num*(int64(rate)/g), t.den*(int64(from)/g)
	}
	t.rate, t.scale = int64(rate), factor{}
}

func (t *timeline) samples(d time.Duration) int64 { return durationToSamples(d, int(t.rate)) }
