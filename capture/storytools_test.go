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
		p.Padding = true
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
