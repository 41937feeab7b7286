package capture_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"callscreen/capture"
	"callscreen/internal/testkit"
)

func TestBlackoutHoldAndMuteKeepTheTime(t *testing.T) {
	for _, areLost := range []bool{true, false} {
		l, out := newLeg(t, nil)
		f := newFeed(t, l)
		f.speak(50)
		f.skip(600, areLost) // 12 s
		f.speak(50)
		l.Flush()
		if got := seconds(int64(len(out.samples))); got != 14 {
			t.Errorf("lost %v: %v s on the tape of 14 s", areLost, got)
		}
		s := l.Stats()
		if areLost && (seconds(s.Lost) != 12 || s.Missing != 600 || s.Silent != 0) ||
			!areLost && (seconds(s.Silent) != 12 || s.Lost != 0 || s.Missing != 0) {
			t.Errorf("lost %v: %+v", areLost, s)
		}
		if seconds(s.Concealed) > 0.1 {
			t.Errorf("%v s are made up", seconds(s.Concealed))
		}
		if out.pauses != 1 {
			t.Errorf("told to pause %d times", out.pauses)
		}
	}
}

func TestAnotherSSRCContinuesTheCall(t *testing.T) {
	for _, away := range []int{0, 10, 250} {
		l, out := newLeg(t, nil)
		f := newFeed(t, l)
		f.speak(100)
		f.skip(away, false)
		f.ssrc, f.seq, f.ts = 99, 40000, 123456789
		f.speak(100)
		l.Flush()
		want := 4 + float64(away)*0.02
		if got := seconds(int64(len(out.samples))); got < want-0.02 || got > want+0.02 {
			t.Errorf("away for %d packets: %v s on the tape of %v s", away, got, want)
		}
		if s := l.Stats(); s.Restarts != 1 || s.Missing != 0 || s.Decoded != 200*160 {
			t.Errorf("%+v", s)
		}
	}
}

// A sender that restarts under the same SSRC loses at most one packet.
func TestSenderRestart(t *testing.T) {
	l, out := newLeg(t, nil)
	f := newFeed(t, l)
	f.speak(100)
	f.seq, f.ts = 30000, 987654321
	f.speak(100)
	l.Flush()
	if got := seconds(int64(len(out.samples))); got < 3.96 || got > 4.04 {
		t.Errorf("%v s on the tape of 4 s", got)
	}
	if s := l.Stats(); s.Restarts != 1 || s.Decoded < 198*160 {
		t.Errorf("%+v", s)
	}
}

// A timestamp that jumps without a reason does not fill the tape.
func TestImplausibleTimestamp(t *testing.T) {
	for _, jump := range []uint32{1 << 30, 8000 * 3600, 1 << 31, 1<<32 - 8000*60} {
		l, out := newLeg(t, nil)
		f := newFeed(t, l)
		f.speak(100)
		f.ts += jump
		f.speak(100)
		l.Flush()
		if got := seconds(int64(len(out.samples))); got < 3.9 || got > 4.1 {
			t.Errorf("jump %d: %v s on the tape of 4 s", jump, got)
		}
		if s := l.Stats(); s.Restarts != 1 {
			t.Errorf("jump %d: %+v", jump, s)
		}
	}
}

func TestPacketsWithoutAudio(t *testing.T) {
	l, out := newLeg(t, nil)
	f := newFeed(t, l)
	f.speak(10)
	for range 5 { // a digit: all packets carry the timestamp of its beginning
		l.Push(packet(t, eventPT, f.seq, f.ts, f.ssrc, []byte{1, 0, 0, 160}), f.now)
		f.seq++
		f.pass(20 * time.Millisecond)
	}
	f.ts += 5 * 160
	f.speak(10)
	l.Push(packet(t, noisePT, f.seq, f.ts, f.ssrc, []byte{60}), f.now) // comfort noise, then silence
	f.seq++
	f.skip(20, false)
	f.speak(10)
	l.Push(packet(t, audioPT, f.seq, f.ts, f.ssrc, nil), f.now) // a keep-alive
	f.seq++
	f.speak(10)
	l.Flush()
	s := l.Stats()
	if len(out.samples) != (40+5+20)*160 || s.Silent != 25*160 || s.Lost != 0 || s.Events != 5 || s.Missing != 0 {
		t.Errorf("%d samples, %+v", len(out.samples), s)
	}
}

func TestREDRepairsLosses(t *testing.T) {
	l, out := newLeg(t, nil)
	f := newFeed(t, l)
	var before []byte
	for i := range 100 {
		f.id++
		primary := idPayload(f.id, 160)
		payload := append([]byte{audioPT}, primary...)
		if before != nil { // RFC 2198: one copy, 160 ticks older
			payload = append(
				[]byte{0x80 | audioPT, 160 >> 6, 160 << 2 & 0xff, byte(len(before)), audioPT},
				append(slices.Clone(before), primary...)...)
		}
		if i%5 != 3 { // every fifth is lost
			l.Push(packet(t, redPT, f.seq, f.ts, f.ssrc, payload), f.now)
		}
		before = primary
		f.seq++
		f.ts += 160
		f.pass(20 * time.Millisecond)
	}
	l.Flush()
	for i, s := range out.samples {
		if s != int16(i/160+1) {
			t.Fatalf("sample %d is of packet %d", i, s)
		}
	}
	if s := l.Stats(); len(out.samples) != 100*160 || s.Repaired != 20 || s.Missing != 0 || s.Lost != 0 {
		t.Errorf("%d samples, %+v", len(out.samples), s)
	}
}

// A packet that the decoder rejects costs no more than its own time.
func TestUndecodablePackets(t *testing.T) {
	l, out := newLeg(t, nil)
	f := newFeed(t, l)
	f.speak(10)
	l.Push(packet(t, audioPT, f.seq, f.ts, f.ssrc, []byte("nonsense")), f.now)
	f.seq++
	f.ts += 160
	f.pass(20 * time.Millisecond)
	f.speak(10)
	l.Push([]byte{0x80}, f.now)
	l.Push(packet(t, 55, f.seq, f.ts, f.ssrc, idPayload(1, 160)), f.now)
	l.Flush()
	if s := l.Stats(); len(out.samples) != 21*160 || s.Undecoded != 1 || s.Lost != 160 || s.Silent != 0 || s.Malformed != 2 {
		t.Errorf("%d samples, %+v", len(out.samples), s)
	}
}

// In-order packets are written at once. Only a gap makes the leg wait, and at most for Wait.
func TestWaitsOnlyAtAGap(t *testing.T) {
	l, out := newLeg(t, nil)
	f := newFeed(t, l)
	f.speak(20)
	if len(out.samples) != 20*160 {
		t.Errorf("%d samples after 20 packets in order", len(out.samples))
	}
	f.skip(1, true)
	f.speak(10)
	if len(out.samples) != 20*160 {
		t.Errorf("%d samples while one is missing", len(out.samples))
	}
	f.pass(time.Second)
	if len(out.samples) != 31*160 {
		t.Errorf("%d samples after the wait", len(out.samples))
	}
	late := packet(t, audioPT, f.seq-11, f.ts-11*160, f.ssrc, idPayload(9, 160))
	l.Push(late, f.now)
	if s := l.Stats(); s.Late != 1 || len(out.samples) != 31*160 {
		t.Errorf("%+v", s)
	}
}

func TestSenderReportSetsTheStart(t *testing.T) {
	l, _ := newLeg(t, nil)
	f := newFeed(t, l)
	if _, ok := l.Start(); ok {
		t.Error("a start without a report")
	}
	f.speak(50)
	wall := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	l.SenderReport(&rtcp.SenderReport{SSRC: f.ssrc, NTPTime: ntp(wall.Add(time.Second)), RTPTime: 5000 + 8000, PacketCount: 50}, f.now)
	l.SenderReport(&rtcp.SenderReport{SSRC: 4711, NTPTime: ntp(wall)}, f.now) // of another sender
	if got, ok := l.Start(); !ok || !got.Equal(wall) {
		t.Errorf("start is %v, want %v", got, wall)
	}
}

func TestPushDoesNotAllocate(t *testing.T) {
	l, err := capture.NewLeg(
		capture.LegConfig{Rate: 8000, PayloadTypes: map[uint8]capture.PayloadType{audioPT: {ClockRate: 8000, Decoder: &idDecoder{}}}},
		nothing{},
	)
	if err != nil {
		t.Fatal(err)
	}
	b := packet(t, audioPT, 0, 0, 1, idPayload(1, 160))
	now, n := epoch, 0
	push := func() {
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		binary.BigEndian.PutUint32(b[4:], uint32(n*160))
		n++
		if n%10 != 0 { // with losses
			l.Push(b, now)
		}
		now = now.Add(20 * time.Millisecond)
		l.Tick(now)
	}
	for range 300 {
		push()
	}
	if got := testing.AllocsPerRun(1000, push); got != 0 {
		t.Errorf("%v allocations a packet", got)
	}
}

// ntp returns a timestamp of RFC 5905.
func ntp(t time.Time) uint64 {
	return uint64(t.Unix()+2208988800)<<32 | uint64(t.Nanosecond())<<32/1e9
}

type nothing struct{}

func (nothing) Write([]int16)   {}
func (nothing) Conceal([]int16) {}
func (nothing) Gap(int64, bool) {}
func (nothing) Pause()          {}

func FuzzLeg(f *testing.F) {
	f.Add(packet(f, audioPT, 1, 2, 3, idPayload(1, 160)), uint16(20))
	f.Add(packet(f, redPT, 1, 2, 3, []byte{0x80, 0, 0, 0, 0}), uint16(20))
	f.Add(packet(f, eventPT, 65535, 1<<32-1, 3, nil), uint16(60000))
	f.Fuzz(func(t *testing.T, data []byte, step uint16) {
		defer testkit.Bounded(t)()
		l, out := newLeg(t, nil)
		now := epoch
		data = data[:min(len(data), 1200)] // the test keeps the tape, of a minute a packet at most
		for len(data) > 0 {
			n := min(len(data), 12+int(data[0])%24)
			l.Push(data[:n], now)
			data = data[n:]
			now = now.Add(time.Duration(step) * time.Millisecond)
			l.Tick(now)
		}
		l.Flush()
		closes(t, l)
		// The tape may run ahead of the clock by the length of a burst and by the lengths that the payloads claim.
		if limit := now.Sub(epoch).Seconds() + 60*float64(l.Stats().Received+1); seconds(int64(len(out.samples))) > limit {
			t.Errorf("%v s on the tape after %v", seconds(int64(len(out.samples))), now.Sub(epoch))
		}
	})
}
