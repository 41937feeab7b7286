package publish

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// seams feeds packets of 20 ms at 8 kHz into a splice, and records the output.
type seams struct {
	t   *testing.T
	s   splice
	out []*rtp.Packet
}

func newSeams(t *testing.T) *seams { return &seams{t: t, s: splice{clock: 8000}} }

// at returns a time of the test, in ms.
func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

func (s *seams) push(ssrc uint32, seq uint16, ts uint32, ms int) {
	s.out = s.s.put(
		s.out,
		&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: seq, Timestamp: ts}, Payload: []byte{byte(ssrc)}},
		8000,
		true,
		at(ms),
	)
}

// continuous checks that sequence numbers have no gap.
func (s *seams) continuous() {
	s.t.Helper()
	for i, p := range s.out {
		if p.SequenceNumber != s.out[0].SequenceNumber+uint16(i) {
			s.t.Errorf("packet %d has the number %d after %d", i, p.SequenceNumber, s.out[i-1].SequenceNumber)
		}
	}
}

// after returns the time of a packet after the first one, by timestamp, in ms.
func (s *seams) after(i int) int { return int(int32(s.out[i].Timestamp-s.out[0].Timestamp)) / 8 }

func TestTheFirstStreamIsNotMoved(t *testing.T) {
	s := newSeams(t)
	// A loss, a reordering, a pause, and numbers that wrap.
	for i, seq := range []uint16{65530, 65531, 65533, 65532, 65535, 0, 1} {
		s.push(7, seq, uint32(1<<32-160)+160*uint32(i), 20*i)
	}
	s.push(7, 2, 800000, 100000)
	want := []uint16{65530, 65531, 65533, 65532, 65535, 0, 1, 2}
	for i, p := range s.out {
		if p.SequenceNumber != want[i] {
			t.Errorf("packet %d has the number %d", i, p.SequenceNumber)
		}
	}
	if len(s.out) != len(want) || s.out[7].Timestamp != 800000 || s.s.strays != 0 || s.s.streams != 1 {
		t.Errorf("%d packets, %+v", len(s.out), s.s)
	}
}

// The same call continues with another SSRC, or with the old one and other numbers, forwards or backwards.
func TestAnotherStreamContinuesTheFirst(t *testing.T) {
	for name, next := range map[string]struct {
		ssrc uint32
		seq  uint16
	}{"SSRC": {8, 101}, "SSRC and numbers": {8, 60000}, "numbers run backwards": {7, 50}, "numbers run ahead": {7, 20000}} {
		t.Run(name, func(t *testing.T) {
			s := newSeams(t)
			r := rand.New(rand.NewPCG(1, 1))
			for i := range 500 { // held up by as much as 15 ms each, the first ones by 10
				s.push(7, 9000+uint16(i), 160*uint32(i), 20*i+min(r.IntN(16), 10*(500-i)))
			}
			from := 10000 + 360 // a pause of 360 ms
			for i := range 100 {
				s.push(next.ssrc, next.seq+uint16(i), 777+160*uint32(i), from+20*i+r.IntN(16)*min(i, 1))
			}
			if s.continuous(); len(s.out) != 600 || s.s.strays != 0 || s.s.streams != 2 {
				t.Fatalf("%d packets of %d streams, %d strays", len(s.out), s.s.streams, s.s.strays)
			}
			// Some packets had no delay; they reveal the delay of the first packet.
			if got := s.after(500); got < from-1 || got > from {
				t.Errorf("the second stream begins %d ms after the first, want %d", got, from)
			}
			if got := s.after(599) - s.after(500); got != 99*20 {
				t.Errorf("its 100 packets last %d ms", got)
			}
		})
	}
}

// Ten consecutive re-INVITEs accumulate no error.
func TestManyStreamsKeepTheTime(t *testing.T) {
	s := newSeams(t)
	r := rand.New(rand.NewPCG(2, 2))
	for i := range 5000 {
		stream := i / 500
		late := r.IntN(30)
		if i%500 == 0 {
			late = 0
		}
		s.push(uint32(stream), uint16(1000*stream*stream+i), uint32(1e6*stream+160*i), 20*i+late)
	}
	s.continuous()
	if got := s.after(4999); got < 4999*20-2 || got > 4999*20+2 {
		t.Errorf("the last packet is at %d ms, want %d", got, 4999*20)
	}
}

// Packets that arrive in a burst, as from a full buffer, do not overlap.
func TestABurstIsSpreadOut(t *testing.T) {
	s := newSeams(t)
	for i := range 10 {
		s.push(7, uint16(i), 160*uint32(i), 0)
	}
	for i := range 10 {
		s.push(8, uint16(i), 160*uint32(i), 1)
	}
	if got := s.after(10); len(s.out) != 20 || got != 200 {
		t.Errorf("the second stream begins at %d ms, want 200", got)
	}
}

// The clock of the sender is slow by half a millisecond per second. After half an hour the next stream follows without
// a gap.
func TestDriftIsNoGap(t *testing.T) {
	s := newSeams(t)
	for i := range 90000 {
		s.push(7, uint16(i), 160*uint32(i), 20*i+i/100)
	}
	last := len(s.out) - 1
	for i := range 10 {
		s.push(8, uint16(i), 160*uint32(i), 20*(90000+i)+900)
	}
	if got := s.after(last+1) - s.after(last); got < 19 || got > 26 { // ten seconds are looked back
		t.Errorf("the second stream begins %d ms after the last packet of the first, want 20", got)
	}
}

// A concurrent second stream, and late packets of an old stream, change nothing.
func TestStrayPacketsMoveNothing(t *testing.T) {
	s := newSeams(t)
	for i := range 50 {
		s.push(7, uint16(i), 160*uint32(i), 20*i)
		s.push(9, 500+uint16(i), 99+160*uint32(i), 20*i+1)
	}
	if s.continuous(); len(s.out) != 50 || s.s.streams != 1 || s.s.strays != 49 { // one may still be confirmed
		t.Fatalf("%d packets, %d streams, %d strays", len(s.out), s.s.streams, s.s.strays)
	}
	for i := range 50 {
		s.push(10, uint16(i), 160*uint32(i), 1000+20*i)
		if i == 10 || i == 20 {
			s.push(7, 49, 160*49, 1000+20*i)
		}
	}
	if s.continuous(); len(s.out) != 100 || s.s.streams != 2 || s.s.strays != 52 {
		t.Errorf("%d packets, %d streams, %d strays", len(s.out), s.s.streams, s.s.strays)
	}
	// Two packets without consecutive numbers do not start a stream.
	for _, seq := range []uint16{5, 900, 7} {
		s.push(11, seq, 0, 3000)
	}
	if len(s.out) != 100 || s.s.streams != 2 {
		t.Errorf("%d packets, %d streams", len(s.out), s.s.streams)
	}
	s.push(11, 8, 160, 3020)
	if s.continuous(); len(s.out) != 102 || s.s.streams != 3 {
		t.Errorf("%d packets, %d streams", len(s.out), s.s.streams)
	}
}
