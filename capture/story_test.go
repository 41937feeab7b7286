package capture_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"callscreen/capture"
)

// The sample values of a story: the level of each packet shows what was said in it.
const (
	hush  = 0
	human = 8000
	tone  = 16000
)

// levelDecoder makes audio of one level at a rate. The payload is the level and the length in milliseconds, times ten.
type levelDecoder struct{ rate int }

func (d levelDecoder) Rate() int { return d.rate }
func (d levelDecoder) Reset()    {}
func (d levelDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	if len(payload) != 4 {
		return dst, errors.New("not a payload of a story")
	}
	for range int(binary.BigEndian.Uint16(payload[2:])) * d.rate / 10000 {
		dst = append(dst, int16(binary.BigEndian.Uint16(payload)))
	}
	return dst, nil
}

// loudVAD takes every frame of 20 ms that is not silent for speech.
type loudVAD int

func (v loudVAD) FrameSize() int { return int(v) / 50 }
func (v loudVAD) Reset()         {}
func (v loudVAD) Classify(frame []int16) capture.Sound {
	for _, s := range frame {
		if s > 1000 {
			return capture.Speech
		}
	}
	return capture.Silence
}

// loudSink is a segmenter whose rate can rise. It measures the tone in audio that was made up.
type loudSink struct {
	*capture.Segmenter
	rate int
	made time.Duration
}

func (s *loudSink) Raise(rate int) error {
	s.rate = rate
	return s.SetRate(rate, loudVAD(rate))
}

func (s *loudSink) Conceal(pcm []int16) {
	s.made += toneIn(pcm, s.rate)
	s.Segmenter.Conceal(pcm)
}

// toneIn returns the time of the tone in some audio.
func toneIn(pcm []int16, rate int) time.Duration {
	n := int64(0)
	for _, v := range pcm {
		if v > (human+tone)/2 {
			n++
		}
	}
	return capture.Duration(n, rate)
}

// codec is a codec of a story.
type codec struct {
	pt    uint8
	clock int
	rate  int
}

var (
	narrow  = codec{0, 8000, 8000}  // as PCMU
	other   = codec{8, 8000, 8000}  // as PCMA
	wide    = codec{9, 8000, 16000} // as G.722
	opus    = codec{111, 48000, 16000}
	foreign = codec{99, 90000, 8000} // not negotiated
	codecs  = []codec{narrow, other, wide, opus}
)

func storyTypes() map[uint8]capture.PayloadType {
	types := map[uint8]capture.PayloadType{eventPT: {ClockRate: 8000, Kind: capture.KindEvent}}
	for _, c := range codecs {
		types[c.pt] = capture.PayloadType{ClockRate: uint32(c.clock), Decoder: levelDecoder{c.rate}}
	}
	return types
}

// sender is one RTP stream of a story.
type sender struct {
	codec
	ssrc   uint32
	seq    uint16
	ts     uint32
	ptime  int // tenths of a millisecond
	count  uint32
	faulty func(*sender, uint32) uint32 // returns the timestamp to send for the right one

	known bool          // a packet of the sequence arrived: losses after it show when the next one does
	lost  time.Duration // of the tone, since
}

// story plays packets to a leg on a clock of its own.
type story struct {
	t        testing.TB
	rng      *rand.Rand
	leg      *capture.Leg
	sink     *loudSink
	now      time.Duration
	queue    []queued
	tick     time.Duration
	jitter   time.Duration
	loss     float64
	segments []capture.Segment
	log      []string

	arrived  int64         // datagrams
	sent     int64         // packets, lost ones included
	toneSent time.Duration // in packets that arrived, or were lost between two that did
	paused   bool
}

type queued struct {
	at time.Duration
	b  []byte
}

func newStory(t testing.TB, seed uint64, rate int) *story {
	t.Helper()
	seg, err := capture.NewSegmenter(loudVAD(rate), capture.SegmenterConfig{
		Rate:         rate,
		FirstSpeech:  time.Second,
		TargetSpeech: 2 * time.Second,
		MinSpeech:    500 * time.Millisecond,
		MaxDuration:  6 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	sink := &loudSink{Segmenter: seg, rate: rate}
	leg, err := capture.NewLeg(capture.LegConfig{Rate: rate, PayloadTypes: storyTypes()}, sink)
	if err != nil {
		t.Fatal(err)
	}
	return &story{t: t, rng: rand.New(rand.NewPCG(seed, 77)), leg: leg, sink: sink}
}

func (st *story) note(format string, args ...any) {
	st.log = append(st.log, fmt.Sprintf("%v ", st.now)+fmt.Sprintf(format, args...))
}

// join returns a new stream.
func (st *story) join(c codec) *sender {
	return &sender{
		codec: c,
		ssrc:  st.rng.Uint32(),
		seq:   uint16(st.rng.Uint32()),
		ts:    st.rng.Uint32(),
		ptime: 200,
	}
}

// send sends a packet and lets its time pass.
func (st *story) send(s *sender, level int) {
	st.emit(s, level)
	st.pass(time.Duration(s.ptime) * 100 * time.Microsecond)
}

// emit sends a packet.
func (st *story) emit(s *sender, level int) {
	ts := s.ts
	if s.faulty != nil {
		ts = s.faulty(s, ts)
	}
	payload := binary.BigEndian.AppendUint16(nil, uint16(level))
	payload = binary.BigEndian.AppendUint16(payload, uint16(s.ptime))
	d := time.Duration(0)
	if level == tone {
		d = time.Duration(s.ptime) * 100 * time.Microsecond
	}
	switch {
	case !st.transmit(s.pt, s.seq, ts, s.ssrc, payload):
		s.lost += d
	case s.known:
		st.toneSent += d + s.lost
		s.lost = 0
	default:
		st.toneSent += d
		s.known, s.lost = true, 0
	}
	s.seq++
	s.count++
	s.ts += uint32(s.clock * s.ptime / 10000)
}

// transmit sends a packet, and returns false if it is lost.
func (st *story) transmit(pt uint8, seq uint16, ts, ssrc uint32, payload []byte) bool {
	p := rtp.Packet{
		Header: rtp.Header{
			Version:        2,
			PayloadType:    pt,
			SequenceNumber: seq,
			Timestamp:      ts,
			SSRC:           ssrc,
			Marker:         st.rng.IntN(3) == 0,
		},
		Payload: payload,
	}
	switch st.rng.IntN(20) {
	case 0:
		p.CSRC = []uint32{1, 2, 3}
	case 1:
		p.PaddingSize = byte(1 + st.rng.IntN(20))
		p.Header.Padding = true
	case 2:
		_ = p.SetExtension(1, []byte{1, 2, 3})
	}
	b, err := p.Marshal()
	if err != nil {
		st.t.Fatal(err)
	}
	st.sent++
	if st.rng.Float64() < st.loss {
		return false
	}
	st.deliver(b)
	return true
}

// deliver puts a datagram on its way.
func (st *story) deliver(b []byte) {
	at := st.now
	if st.jitter > 0 {
		at += time.Duration(st.rng.Int64N(int64(st.jitter)))
	}
	i, _ := slices.BinarySearchFunc(st.queue, at, func(q queued, at time.Duration) int {
		if q.at <= at {
			return -1
		}
		return 1
	})
	st.queue = slices.Insert(st.queue, i, queued{at, b})
}

// pass lets time pass.
func (st *story) pass(d time.Duration) {
	st.now += d
	for len(st.queue) > 0 && st.queue[0].at <= st.now {
		q := st.queue[0]
		st.queue = st.queue[1:]
		st.ticks(q.at)
		st.arrived++
		st.leg.Push(q.b, epoch.Add(q.at))
		st.fetch()
	}
	st.ticks(st.now)
}

func (st *story) ticks(until time.Duration) {
	for ; st.tick < until; st.tick += 100 * time.Millisecond {
		st.leg.Tick(epoch.Add(st.tick))
	}
}

func (st *story) fetch() {
	for seg, ok := st.sink.Next(); ok; seg, ok = st.sink.Next() {
		st.segments = append(st.segments, seg)
	}
}

func (st *story) report(s *sender) {
	st.leg.SenderReport(&rtcp.SenderReport{SSRC: s.ssrc, PacketCount: s.count, RTPTime: s.ts}, epoch.Add(st.now))
}

func (st *story) end() {
	st.pass(2 * time.Second)
	st.leg.Flush()
	st.sink.Flush()
	st.fetch()
}

// toneHeard returns the time of the tone in segments that are analysed, and of all speech in segments that are skipped.
func (st *story) toneHeard() (heard, skipped time.Duration) {
	for _, seg := range st.segments {
		if seg.Skipped != "" {
			skipped += seg.SpeechDuration()
			continue
		}
		heard += toneIn(seg.PCM, seg.Rate)
	}
	return heard - st.sink.made, skipped // made up audio counts as lost
}

// verify checks the promises that hold in every story.
func (st *story) verify(name string) {
	st.t.Helper()
	l := st.leg.Ledger()
	fail := func(format string, args ...any) {
		st.t.Helper()
		st.t.Fatalf("%s: %s\n%+v\n%+v\n%v\n%v", name, fmt.Sprintf(format, args...), l, st.leg.Stats(), describe(st.segments), st.log)
	}
	if err := l.Check(); err != nil {
		fail("%v", err)
	}
	un := l.UnrecordedTotal()
	if got := l.Recorded.Packets + un.Packets + l.Paused.Packets + l.Duplicate.Packets; got != st.arrived {
		fail("%d packets arrived, %d are booked", st.arrived, got)
	}
	heard, skipped := st.toneHeard()
	booked := l.Lost.Time + un.Time + l.Paused.Time
	if missing := st.toneSent - heard - skipped - booked; missing > 100*time.Millisecond {
		fail("%v of the tone were sent: %v heard, %v skipped, %v booked, %v are missing", st.toneSent, heard, skipped, booked, missing)
	}
}

// faults are the ways in which timestamps go wrong.
var faults = []struct {
	name string
	ts   func(st *story) func(*sender, uint32) uint32
}{
	{"right", func(*story) func(*sender, uint32) uint32 { return nil }},
	{"half steps", func(*story) func(*sender, uint32) uint32 {
		return func(_ *sender, ts uint32) uint32 { return ts / 2 }
	}},
	{"double steps", func(*story) func(*sender, uint32) uint32 {
		return func(_ *sender, ts uint32) uint32 { return 2 * ts }
	}},
	{"frozen", func(*story) func(*sender, uint32) uint32 {
		return func(*sender, uint32) uint32 { return 4711 }
	}},
	{"zero", func(st *story) func(*sender, uint32) uint32 {
		return func(_ *sender, ts uint32) uint32 {
			if st.rng.IntN(20) == 0 {
				return 0
			}
			return ts
		}
	}},
	{"random", func(st *story) func(*sender, uint32) uint32 {
		return func(*sender, uint32) uint32 { return st.rng.Uint32() }
	}},
	{"wobble", func(st *story) func(*sender, uint32) uint32 {
		return func(s *sender, ts uint32) uint32 { return ts + uint32(st.rng.IntN(s.clock/150)) }
	}},
	{"back each second", func(st *story) func(*sender, uint32) uint32 {
		return func(s *sender, ts uint32) uint32 { return ts - uint32(int(st.now/time.Second)*s.clock/10) }
	}},
	{"one per cent fast", func(*story) func(*sender, uint32) uint32 {
		return func(_ *sender, ts uint32) uint32 { return ts - ts/100 }
	}},
	{"jumps", func(st *story) func(*sender, uint32) uint32 {
		off := uint32(0)
		return func(_ *sender, ts uint32) uint32 {
			if st.rng.IntN(100) == 0 {
				off = st.rng.Uint32()
			}
			return ts + off
		}
	}},
}

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
		level := human
		for st.now < length {
			switch level = human; {
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
	case 10: // packets that nobody negotiated
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
		var took time.Duration
		for st.now < length {
			st.send(s, tone)
			took = st.now
			if rng.IntN(100) != 0 {
				continue
			}
			for range 5 { // a stream has more than one packet
				st.send(s, tone)
			}
			took = st.now
			switch rng.IntN(7) {
			case 0:
				s = st.join(s.codec)
				st.note("SSRC %d", s.ssrc)
			case 1:
				s = &sender{codec: codecs[rng.IntN(len(codecs))], ssrc: s.ssrc, seq: s.seq, ts: s.ts, ptime: s.ptime}
				st.note("codec %d", s.pt)
			case 2:
				st.pass(200 * time.Millisecond) // what was sent under the old types is on its way
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
			}
		}
		st.talk(s, tone, 0.2) // a stream has more than one packet
		took = st.now
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
