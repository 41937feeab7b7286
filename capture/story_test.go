package capture_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"callscreen/capture"
)

// The tone of random stories comes out of the segments or is booked, and the ledger closes, whatever senders and networks
// do.
func TestStories(t *testing.T) {
	var total capture.Ledger
	for seed := range runs(uint64(3000)) {
		rate := []int{8000, 16000}[seed%2]
		st := newStory(t, seed, rate)
		rng := st.rng
		st.jitter = time.Duration(rng.IntN(120)) * time.Millisecond
		st.loss = []float64{0, 0, 0.02, 0.1, 0.4}[rng.IntN(5)]
		s := st.join(codecs[rng.IntN(len(codecs))])
		var old *sender
		var past [][]byte
		length := 3*time.Second + time.Duration(rng.IntN(8000))*time.Millisecond
		toneAt := time.Duration(rng.Int64N(int64(length)))
		for st.now < length {
			level := human
			switch {
			case st.now >= toneAt && st.now < toneAt+5*time.Second:
				level = tone
			case rng.IntN(50) == 0:
				st.send(s, hush)
			}
			if old != nil && rng.IntN(2) == 0 {
				st.emit(old, level)
			}
			st.send(s, level)
			if len(st.queue) > 0 && rng.IntN(30) == 0 {
				past = append(past, slices.Clone(st.queue[rng.IntN(len(st.queue))].b))
			}
			if rng.IntN(60) == 0 {
				st.happen(&s, &old, past)
			}
			if rng.IntN(300) == 0 {
				if err := st.leg.Ledger().Check(); err != nil {
					t.Fatalf("seed %d: in between: %v\n%v", seed, err, st.log)
				}
			}
		}
		if rng.IntN(2) == 0 {
			st.report(s)
		}
		st.end()
		st.verify(fmt.Sprintf("seed %d", seed))
		l := st.leg.Ledger()
		l.Spans = nil
		total.Add(l, 0)
	}
	for _, r := range []capture.Reason{
		capture.UnrecordedCodec, capture.UnrecordedLate, capture.UnrecordedMalformed,
		capture.UnrecordedOverlap, capture.UnrecordedUnknownSSRC,
	} {
		if total.Unrecorded[r].Packets == 0 {
			t.Errorf("no story has packets that are unrecorded for the reason %s", r)
		}
	}
	if min(total.Lost.Packets, total.Duplicate.Packets, total.Paused.Packets) == 0 {
		t.Errorf("too few stories: %+v", total)
	}
	t.Logf("%+v", total)
}

// happen is one of the troubles of a story.
func (st *story) happen(s, old **sender, past [][]byte) {
	rng := st.rng
	switch rng.IntN(17) {
	case 0: // another SSRC
		next := st.join((*s).codec)
		st.note("SSRC %d -> %d", (*s).ssrc, next.ssrc)
		*s = next
	case 1: // another codec, under the same SSRC
		(*s).codec = codecs[rng.IntN(len(codecs))]
		st.note("codec %d", (*s).pt)
	case 2: // another codec and SSRC
		*s = st.join(codecs[rng.IntN(len(codecs))])
		st.note("codec %d, SSRC %d", (*s).pt, (*s).ssrc)
	case 3:
		f := faults[rng.IntN(len(faults))]
		(*s).faulty = f.ts(st)
		st.note("timestamps: %s", f.name)
	case 4: // DTX or hold
		d := time.Duration(rng.IntN(3000)) * time.Millisecond
		if rng.IntN(2) == 0 {
			(*s).ts += uint32(d.Seconds() * float64((*s).clock))
		}
		st.pass(d)
		st.note("silent for %v", d)
	case 5:
		d := time.Duration(rng.IntN(3000)) * time.Millisecond
		was := st.loss
		st.loss = 1
		for end := st.now + d; st.now < end; {
			st.send(*s, human)
		}
		st.loss = was
		st.note("blackout of %v", d)
	case 6: // the sequence numbers start again
		(*s).seq, (*s).ts, (*s).known = uint16(rng.Uint32()), rng.Uint32(), false
		st.note("sequence restarts at %d", (*s).seq)
	case 7: // another stream at the same time
		if *old == nil {
			*old = st.join(codecs[rng.IntN(len(codecs))])
			st.note("second stream %d", (*old).ssrc)
		} else {
			*old = nil
		}
	case 8:
		for _, b := range past[:min(len(past), rng.IntN(20))] {
			st.deliver(slices.Clone(b))
		}
		st.note("replay of %d", len(past))
	case 9:
		for range 1 + rng.IntN(5) {
			b := make([]byte, rng.IntN(30))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			if len(b) > 1 {
				b[0], b[1] = b[0]&0x3f|byte(rng.IntN(4))<<6, b[1]&0x3f // not RTCP
			}
			st.deliver(b)
		}
		st.note("noise")
	case 10: // packets of a payload type that was not negotiated
		pt := foreign.pt
		for range 1 + rng.IntN(5) {
			st.transmit(pt, (*s).seq, (*s).ts, (*s).ssrc, []byte("foreign"))
			(*s).seq++
			(*s).count++
			st.pass(20 * time.Millisecond)
		}
		st.note("payload type %d", pt)
	case 11: // a digit, comfort noise, keep-alives
		for range 1 + rng.IntN(5) {
			st.transmit([]uint8{eventPT, 13, 19, (*s).pt}[rng.IntN(4)], (*s).seq, (*s).ts, (*s).ssrc, nil)
			(*s).seq++
			(*s).count++
			st.pass(20 * time.Millisecond)
		}
	case 12:
		(*s).ptime = []int{25, 50, 100, 200, 300, 400, 600, 1200}[rng.IntN(8)]
		st.note("packets of %d/10 ms", (*s).ptime)
	case 13:
		st.leg.Renegotiate(storyTypes())
		*s = st.join(codecs[rng.IntN(len(codecs))])
		st.note("taken over by %d", (*s).ssrc)
	case 14: // what the decoder rejects
		for range 1 + rng.IntN(5) {
			st.transmit((*s).pt, (*s).seq, (*s).ts, (*s).ssrc, []byte("bad"))
			(*s).seq++
			(*s).count++
			st.pass(20 * time.Millisecond)
		}
	case 15:
		st.report(*s)
	case 16:
		st.paused = !st.paused
		st.leg.Discard(st.paused)
		st.note("paused: %v", st.paused)
	}
}

// Human speech is not booked as unrecorded, lost or skipped, and keeps its length, in stories in which senders do only what
// they may do, or what is known to be harmless, and the network loses nothing.
func TestStoriesWithoutFaults(t *testing.T) {
	for seed := range runs(uint64(3000)) {
		rate := []int{8000, 16000}[seed%2]
		st := newStory(t, seed, rate)
		rng := st.rng
		st.jitter = time.Duration(rng.IntN(100)) * time.Millisecond
		s := st.join(codecs[rng.IntN(len(codecs))])
		length := 3*time.Second + time.Duration(rng.IntN(8000))*time.Millisecond
		for st.now < length {
			st.send(s, tone)
			if rng.IntN(100) != 0 {
				continue
			}
			for range 5 { // a stream has more than one packet
				st.send(s, tone)
			}
			switch rng.IntN(8) {
			case 0:
				s = st.join(s.codec)
				st.note("SSRC %d", s.ssrc)
			case 1:
				s = &sender{
					codec: codecs[rng.IntN(len(codecs))],
					ssrc:  s.ssrc,
					seq:   s.seq,
					ts:    s.ts,
					ptime: s.ptime,
				}
				st.note("codec %d", s.pt)
			case 2:
				st.pass(200 * time.Millisecond) // for packets of the old types in transit
				st.leg.Renegotiate(storyTypes())
				s = st.join(codecs[rng.IntN(len(codecs))])
				st.note("taken over by %d", s.ssrc)
			case 3:
				d := time.Duration(rng.IntN(3000)) * time.Millisecond
				s.ts += uint32(d.Seconds() * float64(s.clock))
				st.pass(d)
				st.note("DTX for %v", d)
			case 4:
				f := faults[[]int{0, 1, 2, 6}[rng.IntN(4)]]
				s = st.join(s.codec) // timestamps are continuous within a stream
				s.faulty = f.ts(st)
				st.note("timestamps: %s", f.name)
			case 5:
				s.ptime = []int{100, 200, 300, 400, 600}[rng.IntN(5)]
				st.note("packets of %d/10 ms", s.ptime)
			case 6:
				st.transmit([]uint8{eventPT, 13}[rng.IntN(2)], s.seq, s.ts, s.ssrc, []byte{0, 0, 0, 0})
				s.seq++
			case 7:
				d := time.Duration(2000+rng.IntN(2000)) * time.Millisecond // less can be a delay in the network
				st.pass(d)
				st.note("hold for %v, timestamps frozen", d)
			}
		}
		st.talk(s, tone, 0.2) // a stream has more than one packet
		took := st.now
		st.end()
		name := fmt.Sprintf("seed %d", seed)
		st.verify(name)
		l := st.leg.Ledger()
		heard, skipped := st.toneHeard()
		if l.UnrecordedTotal().Packets != 0 || l.Lost.Packets != 0 || l.Duplicate.Packets != 0 || skipped >= 500*time.Millisecond {
			t.Fatalf("%s: %v skipped, %+v\n%v", name, skipped, l, st.log)
		}
		if missing := st.toneSent - heard - skipped; missing > 20*time.Millisecond {
			t.Fatalf("%s: %v of %v are missing: %+v\n%v", name, missing, st.toneSent, l, st.log)
		}
		if got := capture.Duration(st.leg.Position(), st.leg.Rate()); got < took-500*time.Millisecond || got > took+500*time.Millisecond {
			t.Fatalf("%s: %v on the tape of %v\n%v", name, got, took, st.log)
		}
	}
}
