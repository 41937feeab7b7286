package capture

// factor detects timestamps that run at another clock than negotiated: Opus that steps by 480 for 20 ms, G.722 at 16 kHz.
// The step per decoded sample is then constant, and arrival times agree with the decoded length, not with the timestamps.
type factor struct {
	step, length int64 // ticks and decoded samples of the first packet of a run
	run          int64 // packets with the same ratio
	told, heard  int64 // samples in the run: by timestamps, by decoding
	since        int64 // samples that passed by arrival times
}

// minRun is the number of packets with the same ratio that make it believed.
const minRun = 4

// learn takes the ticks between two packets that follow each other, the decoded length of the first of them, the length
// that the ticks stand for, and the time between the arrivals, in samples. It returns true if the ratio is now believed.
func (f *factor) learn(step, length, told, since int64) bool {
	if step <= 0 || length <= 0 || abs(told-length)*50 <= length {
		*f = factor{}
		return false
	}
	if f.run == 0 || abs(step*f.length-f.step*length)*50 > f.step*length {
		*f = factor{step: step, length: length}
	}
	f.run++
	f.told += told
	f.heard += length
	f.since += since
	if f.run < minRun || abs(f.since-f.heard) >= abs(f.since-f.told) {
		return false
	}
	*f = factor{}
	return true
}

// foresee applies the same test to the packets held behind the first packet of a stream, which has a length, so that not
// even these are placed by wrong timestamps.
func (t *timeline) foresee(s *slot, length int64, ring *order) {
	var f factor
	ts, arrival := s.ts, s.arrival
	for seq := s.seq + 1; ring.has(seq); seq++ {
		next := ring.at(seq)
		if next.format.id != s.format.id || next.reason != "" || len(next.payload) == 0 {
			return
		}
		step := int64(int32(next.ts - ts))
		if f.learn(step, length, t.length(step), t.samples(next.arrival.Sub(arrival))) {
			t.num, t.den = length, step
			return
		}
		if f.run == 0 {
			return
		}
		ts, arrival = next.ts, next.arrival
	}
}
