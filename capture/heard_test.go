package capture_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"callscreen/capture"
)

// talk sends so many seconds of packets of one level.
func (st *story) talk(s *sender, level int, seconds float64) {
	for end := st.now + time.Duration(seconds*float64(time.Second)); st.now < end; {
		st.send(s, level)
	}
}

// wantHeard checks that a leg of packets that all arrived holds a time of tone, and nothing that is not recorded.
func (st *story) wantHeard(name string, want, position time.Duration) capture.Ledger {
	st.t.Helper()
	st.end()
	st.verify(name)
	l := st.leg.Ledger()
	heard, _ := st.toneHeard()
	if heard < want-20*time.Millisecond || heard > want+20*time.Millisecond {
		st.t.Errorf("%s: %v of %v of the tone are heard: %+v", name, heard, want, l)
	}
	if n := l.UnrecordedTotal().Packets; n != 0 {
		st.t.Errorf("%s: %d packets are not recorded: %+v", name, n, l)
	}
	if got := capture.Duration(st.leg.Position(), st.leg.Rate()); got < position-200*time.Millisecond || got > position+200*time.Millisecond {
		st.t.Errorf("%s: %v on the tape of %v", name, got, position)
	}
	return l
}

// Another SSRC under which the sender goes on, as after a re-INVITE, used to be dropped.
func TestAnotherSSRCIsHeard(t *testing.T) {
	st := newStory(t, 1, 8000)
	st.talk(st.join(narrow), human, 12)
	st.talk(st.join(narrow), tone, 12)
	st.wantHeard("another SSRC", 12*time.Second, 24*time.Second)
}

// A change of the codec used to be dropped as malformed if the decoders have different rates.
func TestAnotherCodecIsHeard(t *testing.T) {
	for _, from := range codecs {
		for _, to := range codecs {
			for _, sameSSRC := range []bool{true, false} {
				st := newStory(t, 1, from.rate)
				s := st.join(from)
				st.talk(s, human, 12)
				if sameSSRC {
					s.codec = to
				} else {
					s = st.join(to)
				}
				st.talk(s, tone, 12)
				st.wantHeard(fmt.Sprintf("from %d to %d, same SSRC %v", from.pt, to.pt, sameSSRC), 12*time.Second, 24*time.Second)
			}
		}
	}
}

// Codecs that alternate packet by packet are heard.
func TestAlternatingCodecs(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	for i := range 500 {
		s.codec = codecs[i%2] // the same clock
		st.send(s, tone)
	}
	for i := range 500 {
		s.codec = codecs[i%4]
		st.send(s, tone)
	}
	st.wantHeard("alternating codecs", 20*time.Second, 20*time.Second)
}

// Faulty timestamps neither cut audio nor make holes.
func TestFaultyTimestamps(t *testing.T) {
	for _, f := range faults {
		for _, c := range codecs {
			for _, ptime := range []int{100, 200, 600} {
				st := newStory(t, 5, c.rate)
				s := st.join(c)
				s.ptime, s.faulty = ptime, f.ts(st)
				s.ts = 1 << 20
				st.talk(s, tone, 12)
				st.wantHeard(fmt.Sprintf("%s, payload type %d, packets of %d", f.name, c.pt, ptime), 12*time.Second, 12*time.Second)
			}
		}
	}
}

// Timestamps that are off by a few ticks used to make holes of a sample and cuts at the borders of packets.
func TestWobbleMakesNoHoles(t *testing.T) {
	for _, ticks := range []int{1, 7, 48, 240} {
		l, out := newLeg(t, nil)
		rng := rand.New(rand.NewPCG(uint64(ticks), 1))
		seq, now := uint16(0), epoch
		for i := range 1250 {
			ts := uint32(160*i) + uint32(rng.IntN(min(ticks, 70)))
			l.Push(packet(t, audioPT, seq, ts, 1, idPayload(i+1, 160)), now)
			seq++
			now = now.Add(20 * time.Millisecond)
			l.Tick(now)
		}
		l.Flush()
		closes(t, l)
		for i, s := range out.samples {
			if int(s) != i/160+1 {
				t.Fatalf("%d ticks: sample %d is of packet %d", ticks, i, s)
			}
		}
		if len(out.samples) != 1250*160 {
			t.Errorf("%d ticks: %d samples", ticks, len(out.samples))
		}
	}
}

// A hold keeps its duration, although the timestamps go on from before it. A delay in the network is not taken for one.
func TestHoldWithFrozenTimestamps(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	st.talk(s, tone, 4)
	st.pass(5 * time.Second)
	st.talk(s, tone, 4)
	st.wantHeard("hold", 8*time.Second, 13*time.Second)

	st = newStory(t, 1, 8000)
	s = st.join(narrow)
	st.talk(s, tone, 4)
	for range 150 { // 3 s of packets arrive at once
		st.emit(s, tone)
		st.now += 20 * time.Millisecond
	}
	for i := range st.queue {
		st.queue[i].at = st.now
	}
	st.talk(s, tone, 4)
	st.wantHeard("delay", 11*time.Second, 11*time.Second)
}

// Sequence numbers that wrapped in a blackout used to make all later packets late.
func TestBlackoutOfAQuarterOfAnHour(t *testing.T) {
	for _, minutes := range []int{5, 12, 15, 23, 50} {
		st := newStory(t, 1, 8000)
		s := st.join(narrow)
		st.talk(s, tone, 4)
		st.loss = 1
		n := minutes * 60 * 50
		s.seq += uint16(n)
		s.ts += uint32(160 * n)
		st.pass(time.Duration(n) * 20 * time.Millisecond)
		st.loss = 0
		st.talk(s, tone, 4)
		l := st.wantHeard("blackout", 8*time.Second, 8*time.Second+time.Duration(minutes)*time.Minute)
		if l.Lost.Packets != int64(n) || l.Lost.Time != time.Duration(minutes)*time.Minute {
			t.Errorf("%d minutes: %d packets, %v are lost", minutes, l.Lost.Packets, l.Lost.Time)
		}
	}
}

// A leg whose packets are all lost shows in the sender reports, as do packets that were lost at the end.
func TestSenderReportsShowLostPackets(t *testing.T) {
	st := newStory(t, 1, 8000)
	st.loss = 1
	s := st.join(narrow)
	st.report(s)
	for range 4 {
		st.talk(s, tone, 5)
		st.report(s)
	}
	st.end()
	if l := st.leg.Ledger(); l.Check() != nil || l.Lost.Packets != 1000 || l.Sent.Packets != 1000 || l.Lost.Time != 20*time.Second {
		t.Errorf("all packets are lost: %+v", l)
	}

	st = newStory(t, 1, 8000)
	s = st.join(narrow)
	st.talk(s, tone, 5)
	st.report(s)
	st.loss = 1
	st.talk(s, tone, 5)
	st.report(s)
	if l := st.leg.Ledger(); l.Check() != nil || l.Lost.Packets != 250 || l.Recorded.Packets != 250 {
		t.Errorf("the end is lost: %+v", l)
	}
	st.loss = 0
	st.talk(s, tone, 1) // the sequence numbers show the same loss
	st.report(s)
	st.end()
	st.verify("the middle is lost")
	if l := st.leg.Ledger(); l.Lost.Packets != 250 || l.Recorded.Packets != 300 {
		t.Errorf("the middle is lost: %+v", l)
	}
}

// A report whose timestamp is far ahead, as those of GStreamer are, shows no loss while packets arrive: the report before may have
// been read after a packet that it does not count.
func TestReportsWithTimestampsAheadShowNoLoss(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	ahead := func(count uint32) {
		r := &rtcp.SenderReport{SSRC: s.ssrc, PacketCount: count, RTPTime: s.ts + uint32(st.now.Seconds()*8000)}
		st.leg.SenderReport(r, epoch.Add(st.now))
	}
	st.talk(s, tone, 5)
	ahead(s.count - 1)
	st.talk(s, tone, 5)
	ahead(s.count)
	if l := st.wantHeard("ahead", 10*time.Second, 10*time.Second); l.Lost.Packets != 0 || l.Sent.Packets != 500 {
		t.Errorf("%+v", l)
	}
}

// A media server may pass on reports that count packets from before the leg.
func TestForwardedSenderReportsShowNoLoss(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	s.count = 100000
	st.talk(s, tone, 5)
	for range 10 {
		st.report(s)
		st.talk(s, tone, 5)
	}
	if l := st.wantHeard("forwarded", 55*time.Second, 55*time.Second); l.Lost.Packets != 0 {
		t.Errorf("%+v", l)
	}
}

// Old packets that are sent again are not heard again, and do not displace the call.
func TestReplayedPackets(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	old := *s
	st.talk(s, tone, 10)
	for range 200 {
		st.emit(&old, human)
		st.send(s, tone)
	}
	st.end()
	st.verify("replay")
	l := st.leg.Ledger()
	if heard, _ := st.toneHeard(); heard < 13980*time.Millisecond || l.Recorded.Packets != 700 {
		t.Errorf("%v heard: %+v", heard, l)
	}
	if l.Unrecorded[capture.UnrecordedLate].Packets+l.Duplicate.Packets != 200 {
		t.Errorf("200 packets were replayed: %+v", l)
	}
}

// Of two streams at once the newer is heard. The other one is booked with its time, and heard when the newer one stops.
func TestTwoStreamsAtOnce(t *testing.T) {
	st := newStory(t, 1, 8000)
	first := st.join(narrow)
	st.talk(first, human, 4)
	second := st.join(narrow)
	for range 200 {
		st.emit(first, human)
		st.send(second, tone)
	}
	st.talk(first, tone, 4)
	st.end()
	st.verify("two streams")
	heard, _ := st.toneHeard()
	overlap := st.leg.Ledger().Unrecorded[capture.UnrecordedOverlap]
	if heard < 7900*time.Millisecond || overlap.Time < 3500*time.Millisecond || overlap.Time > 4500*time.Millisecond {
		t.Errorf("%v heard, %+v", heard, overlap)
	}
}

// A single stray packet of another SSRC does not stop the stream.
func TestStrayPacket(t *testing.T) {
	st := newStory(t, 1, 8000)
	st.emit(st.join(narrow), human)
	s := st.join(narrow)
	st.talk(s, tone, 4)
	st.emit(st.join(opus), human)
	st.talk(s, tone, 4)
	st.end()
	st.verify("stray")
	l := st.leg.Ledger()
	if heard, _ := st.toneHeard(); heard < 7980*time.Millisecond || l.Unrecorded[capture.UnrecordedUnknownSSRC].Packets != 1 {
		t.Errorf("%v heard, %+v", heard, l)
	}
}

// Packets that cannot be understood are booked, each with its reason, and with the time that they take.
func TestPacketsThatCannotBeUnderstood(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	st.talk(s, tone, 2)
	s.codec = foreign
	st.talk(s, tone, 4)
	s.codec = narrow
	s.ts += 32000
	st.talk(s, tone, 2)
	old := packet(t, 0, s.seq, s.ts, s.ssrc, idPayload(1, 160))
	old[0] = 0x40 // RTP version 1
	st.deliver(old)
	padded := packet(t, 0, s.seq, s.ts, s.ssrc, []byte{1, 2, 3, 200}) // more padding than payload
	padded[0] |= 0x20
	st.deliver(padded)
	st.sent += 2
	st.end()
	st.verify("not understood")
	l := st.leg.Ledger()
	if c := l.Unrecorded[capture.UnrecordedCodec]; c.Packets != 200 || c.Time < 3900*time.Millisecond || c.Time > 4100*time.Millisecond {
		t.Errorf("codec: %+v", c)
	}
	if m := l.Unrecorded[capture.UnrecordedMalformed]; m.Packets != 2 {
		t.Errorf("malformed: %+v", m)
	}
	spans := fmt.Sprint(l.Spans)
	if len(l.Spans) < 1 || l.Spans[0].Reason != capture.UnrecordedCodec || l.Spans[0].End-l.Spans[0].Start < 3900*time.Millisecond {
		t.Errorf("spans: %s", spans)
	}
}

// Digits, comfort noise and keep-alives are understood, also those whose clock is not that of the audio.
func TestPacketsWithoutAudioAreRecorded(t *testing.T) {
	st := newStory(t, 1, 16000)
	s := st.join(opus)
	for range 20 {
		st.talk(s, tone, 0.2)
		for _, pt := range []uint8{eventPT, eventPT, 13, 19, s.pt} {
			st.transmit(pt, s.seq, uint32(s.seq)*7, s.ssrc, nil)
			s.seq++
		}
	}
	if l := st.wantHeard("no audio", 4*time.Second, 4*time.Second); l.Recorded.Packets != 300 {
		t.Errorf("%+v", l)
	}
}

// Lost packets are booked with their time: a leg with 60 % loss shows it.
func TestHeavyLossIsBooked(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	st.send(s, human)
	st.loss = 0.6
	st.talk(s, human, 20)
	st.loss = 0
	st.send(s, human)
	st.end()
	st.verify("loss")
	l := st.leg.Ledger()
	if l.Sent.Packets != st.sent || l.Recorded.Packets != st.arrived || l.Lost.Packets != st.sent-st.arrived {
		t.Errorf("%d sent, %d arrived: %+v", st.sent, st.arrived, l)
	}
	if want := time.Duration(l.Lost.Packets) * 20 * time.Millisecond; l.Lost.Time != want {
		t.Errorf("%v are lost, not %v", l.Lost.Time, want)
	}
}

// The spans of a ledger stay few, and cover what is missing.
func TestSpansAreBounded(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	var lost time.Duration
	for i := range 20000 {
		if st.loss = 0; i%7 == 3 {
			st.loss = 1
			lost += 20 * time.Millisecond
		}
		st.send(s, human)
	}
	st.end()
	st.verify("spans")
	l := st.leg.Ledger()
	var covered time.Duration
	for i, m := range l.Spans {
		covered += m.End - m.Start
		if i > 0 && m.Start < l.Spans[i-1].Start {
			t.Errorf("%v before %v", l.Spans[i-1], m)
		}
	}
	if len(l.Spans) > 64 || covered < lost || l.Lost.Time != lost {
		t.Errorf("%d spans cover %v of %v, %v are lost", len(l.Spans), covered, lost, l.Lost.Time)
	}
}

func TestLedgerCheckFindsADifference(t *testing.T) {
	l := capture.Ledger{
		Sent:       capture.Amount{Packets: 10},
		Recorded:   capture.Amount{Packets: 6},
		Lost:       capture.Amount{Packets: 2},
		Unrecorded: map[capture.Reason]capture.Amount{capture.UnrecordedLate: {Packets: 2}},
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	l.Duplicate.Packets = 1
	if l.Check() == nil {
		t.Error("a difference of one packet is not found")
	}
	l.Duplicate.Packets = 0
	sum := l
	sum.Unrecorded = nil
	sum.Add(l, time.Minute)
	if sum.Check() == nil || sum.Sent.Packets != 20 {
		t.Errorf("the sum lacks two packets: %+v", sum)
	}
}

// A sender that restarts under its SSRC is heard wherever its new sequence numbers lie, and no loss is made up for them.
func TestRestartOfTheSequence(t *testing.T) {
	for _, jump := range []int{-30000, -3000, -200, -129, -100, -1, 200, 1000, 3000, 3001, 20000} {
		for _, tsJump := range []uint32{0, 1 << 30} {
			st := newStory(t, 1, 8000)
			s := st.join(narrow)
			s.seq = 40000
			st.talk(s, human, 10)
			s.seq += uint16(jump)
			s.ts += tsJump
			st.talk(s, tone, 10)
			st.end()
			st.verify(fmt.Sprint("jump by ", jump))
			l := st.leg.Ledger()
			heard, _ := st.toneHeard()
			late := l.Unrecorded[capture.UnrecordedLate].Packets + l.Duplicate.Packets
			if want := 10*time.Second - time.Duration(late)*20*time.Millisecond; heard < want || late > 10 || l.Lost.Packets != 0 {
				t.Errorf("jump by %d and %d: %v heard, %+v", jump, tsJump, heard, l)
			}
		}
	}
}

// fecDecoder recovers a lost packet from the next one.
type fecDecoder struct{ idDecoder }

func (d *fecDecoder) Recover(dst []int16, samples int, next []byte) ([]int16, bool, error) {
	id := int16(-1)
	if next != nil {
		id = int16(next[0])<<8 | int16(next[1]) - 1
	}
	for range samples {
		dst = append(dst, id)
	}
	return dst, next != nil, nil
}

// A packet that in-band FEC replaces is recorded, those before it are lost.
func TestFECIsBookedAsRecorded(t *testing.T) {
	l, out := newLeg(t, func(cfg *capture.LegConfig) {
		cfg.PayloadTypes[audioPT] = capture.PayloadType{ClockRate: 8000, Decoder: &fecDecoder{}}
	})
	f := newFeed(t, l)
	for _, n := range []int{1, 2, 20} {
		f.speak(20)
		f.skip(n, true)
		f.id += n
	}
	f.speak(20)
	l.Flush()
	ledger := l.Ledger()
	if ledger.Recorded.Packets != 83 || ledger.Lost.Packets != 20 || ledger.Recorded.Time != 83*20*time.Millisecond ||
		ledger.Lost.Time != 20*20*time.Millisecond || len(out.samples) != 103*160 {
		t.Errorf("%d samples, %+v", len(out.samples), ledger)
	}
}

// A flood of SSRCs between the packets of a call neither stops the call nor is taken for it.
func TestFloodOfSSRCs(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(narrow)
	st.talk(s, tone, 1)
	for range 450 {
		for range 10 {
			st.emit(st.join(narrow), hush)
		}
		st.send(s, tone)
	}
	st.end()
	st.verify("flood")
	l := st.leg.Ledger()
	heard, _ := st.toneHeard()
	if heard < 9980*time.Millisecond || l.Unrecorded[capture.UnrecordedUnknownSSRC].Packets < 4490 || len(l.Spans) > 64 {
		t.Errorf("%v heard, %+v", heard, l)
	}
}
