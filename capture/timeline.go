package capture

import "time"

// timeline maps RTP timestamps to positions in the leg.
type timeline struct {
	rate int64 // Hz of the audio

	pos    int64 // samples written
	packet int64 // samples of the last decoded packet

	anchored bool  // a packet of this stream was placed
	anchorTS int64 // extended timestamp of the first such packet; all are measured from it, so that rounding does not add up
	anchorAt int64 // its position
	lastTS   int64 // extended timestamp of the last packet
	clock    int64 // Hz of the timestamps
	arrival  time.Time

	// The least recent transit time (arrival time minus position) aligns two streams whose timestamps are unrelated.
	transit [2]time.Time // of this transitWindow and the one before
	turn    time.Time
	left    bool      // another stream came before
	origin  time.Time // time of position 0 by the transit of that stream
}

// transitWindow is short enough for clock drift to be negligible.
const transitWindow = 5 * time.Second

// at returns the position of a timestamp.
func (t *timeline) at(ts uint32) int64 {
	return t.anchorAt + (t.extend(ts)-t.anchorTS)*t.rate/t.clock
}

func (t *timeline) extend(ts uint32) int64 {
	return t.lastTS + int64(int32(ts-uint32(t.lastTS)))
}

// gap returns the number of samples between the end of the written audio and the place of a packet, negative where they
// overlap. restarted reports whether the timestamp was implausible, so that the place follows from the arrival time.
func (t *timeline) gap(ts uint32, clock int64, arrival time.Time, held *order) (gap int64, restarted bool) {
	if !t.anchored {
		if !t.left {
			return 0, false
		}
		return max(0, t.samples(t.start(ts, clock, arrival, held).Sub(t.origin))-t.pos), false
	}
	if clock == t.clock {
		gap = t.at(ts) - t.pos
		elapsed := t.samples(arrival.Sub(t.arrival))
		if gap >= -t.samples(maxOverlap) && gap <= elapsed+t.samples(maxAhead) {
			return gap, false
		}
	}
	return max(0, t.samples(arrival.Sub(t.arrival))-t.packet), true
}

// start returns the time at which the first packet of a stream would have arrived with the least transit time of those held.
func (t *timeline) start(ts uint32, clock int64, arrival time.Time, held *order) time.Time {
	start := arrival
	for i := range held.slots {
		s := &held.slots[i]
		if s.used && s.format.ClockRate == uint32(clock) {
			after := time.Duration(int64(int32(s.ts-ts))) * time.Second / time.Duration(clock)
			if at := s.arrival.Add(-after); at.Before(start) {
				start = at
			}
		}
	}
	return start
}

// place records that a packet lies at a position. anchor makes it the anchor of the stream's timestamps.
func (t *timeline) place(ts uint32, clock int64, arrival time.Time, at int64, anchor bool) {
	if anchor || !t.anchored {
		t.anchored, t.clock = true, clock
		t.anchorTS, t.anchorAt, t.lastTS = int64(ts), at, int64(ts)
	}
	t.lastTS, t.arrival = t.extend(ts), arrival
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

func (t *timeline) samples(d time.Duration) int64 { return durationToSamples(d, int(t.rate)) }
