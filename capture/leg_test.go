package capture_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"callscreen/capture"
)

// idDecoder makes samples that say which packet they come from: the payload is the number of the packet and how many
// samples it has.
type idDecoder struct{ resets int }

func (d *idDecoder) Reset() { d.resets++ }

func (d *idDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	if len(payload) != 4 {
		return dst, errors.New("not a payload of ours")
	}
	for range binary.BigEndian.Uint16(payload[2:]) {
		dst = append(dst, int16(binary.BigEndian.Uint16(payload)))
	}
	return dst, nil
}

func idPayload(id, samples int) []byte {
	return []byte{byte(id >> 8), byte(id), byte(samples >> 8), byte(samples)}
}

// What a tape holds where no packet was.
const (
	silent    = 0
	concealed = -1
	lost      = -2
)

// tape is a sink that keeps everything.
type tape struct {
	samples []int16
	pauses  int
}

func (p *tape) Write(pcm []int16) { p.samples = append(p.samples, pcm...) }
func (p *tape) Pause()            { p.pauses++ }
func (p *tape) Conceal(pcm []int16) {
	for range pcm {
		p.samples = append(p.samples, concealed)
	}
}
func (p *tape) Gap(n int64, missing bool) {
	tag := int16(silent)
	if missing {
		tag = lost
	}
	for range n {
		p.samples = append(p.samples, tag)
	}
}

const (
	audioPT = 0
	redPT   = 63
	eventPT = 101
	noisePT = 13
)

func newLeg(t testing.TB, change func(*capture.LegConfig)) (*capture.Leg, *tape) {
	t.Helper()
	out := &tape{}
	cfg := capture.LegConfig{Rate: 8000, PayloadTypes: map[uint8]capture.PayloadType{
		audioPT: {ClockRate: 8000, Decoder: &idDecoder{}},
		redPT:   {ClockRate: 8000, Kind: capture.KindRED},
		eventPT: {ClockRate: 8000, Kind: capture.KindEvent},
		noisePT: {ClockRate: 8000, Kind: capture.KindNoise},
	}}
	if change != nil {
		change(&cfg)
	}
	l, err := capture.NewLeg(cfg, out)
	if err != nil {
		t.Fatal(err)
	}
	return l, out
}

func packet(t testing.TB, pt uint8, seq uint16, ts, ssrc uint32, payload []byte) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: seq, Timestamp: ts, SSRC: ssrc}, Payload: payload}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sent is a packet of a random call.
type sent struct {
	id       int
	seq      uint16
	pos      int64 // where it belongs, in samples from the first packet
	samples  int
	lost     bool
	copies   int
	afterDTX bool
}

// network is a random call, and what the network did to it.
type network struct {
	packets    []sent
	seq0       uint16
	ts0        uint32
	deliveries []delivery
}

type delivery struct {
	at     time.Duration
	packet int
}

func newNetwork(seed uint64) network {
	rng := rand.New(rand.NewPCG(seed, 9))
	n := network{seq0: uint16(65530 + rng.IntN(10)), ts0: uint32(1<<32 - rng.IntN(20000))}
	loss, burst := rng.Float64()*0.2, 1+rng.IntN(4)
	dtx := rng.Float64() * 0.1
	jitter := rng.IntN(90) + 1
	pos, losing := int64(0), 0
	for id := range 100 + rng.IntN(400) {
		p := sent{id: id + 1, seq: n.seq0 + uint16(id), samples: 160, copies: 1}
		if rng.Float64() < dtx && id > 0 {
			pos += int64(1+rng.IntN(50)) * 160
			p.afterDTX = true
		}
		p.pos = pos
		pos += int64(p.samples)
		if losing == 0 && rng.Float64() < loss/float64(burst) {
			losing = burst
		}
		if losing > 0 {
			losing--
			p.lost = true
		}
		if rng.IntN(20) == 0 {
			p.copies = 2
		}
		n.packets = append(n.packets, p)
		if p.lost {
			continue
		}
		for range p.copies {
			n.deliveries = append(n.deliveries, delivery{time.Duration(p.pos)*time.Second/8000 + time.Duration(rng.IntN(jitter))*time.Millisecond, id})
		}
	}
	slices.SortStableFunc(n.deliveries, func(a, b delivery) int { return int(a.at - b.at) })
	return n
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// play pushes a network's packets at their time, with a tick every 50 ms.
func (n network) play(t testing.TB, l *capture.Leg) {
	t.Helper()
	tick := time.Duration(0)
	for _, d := range n.deliveries {
		for ; tick < d.at; tick += 50 * time.Millisecond {
			l.Tick(epoch.Add(tick))
		}
		p := n.packets[d.packet]
		b := packet(t, audioPT, p.seq, n.ts0+uint32(p.pos), 7, idPayload(p.id, p.samples))
		l.Push(b, epoch.Add(d.at))
		clear(b) // a packet that were kept would show
	}
	l.Flush()
}

// The promises of the timeline, over random losses, bursts, reordering, duplicates, pauses and wraps.
func TestLegProperties(t *testing.T) {
	var losses, pauses, reordered, duplicates uint64
	for seed := range runs(uint64(3000)) {
		n := newNetwork(seed)
		if len(n.deliveries) == 0 {
			continue
		}
		l, out := newLeg(t, nil)
		n.play(t, l)
		delivered := func(p sent) bool { return !p.lost }
		first := slices.IndexFunc(n.packets, delivered)
		last := len(n.packets) - 1
		for n.packets[last].lost {
			last--
		}
		origin := n.packets[first].pos
		want := n.packets[last].pos + int64(n.packets[last].samples) - origin
		if int64(len(out.samples)) != want || l.Position() != want {
			t.Fatalf("seed %d: %d samples, the timestamps span %d", seed, len(out.samples), want)
		}
		stats := l.Stats()
		received, missing := 0, uint64(0)
		for i, p := range n.packets[:last+1] {
			if i < first {
				continue
			}
			at := out.samples[p.pos-origin:][:p.samples]
			if p.lost {
				missing++
				losses++
				// Between speech a lost packet is lost. Next to a pause nobody can tell where it lay.
				nextToPause := false
				for j := i; j <= last && (n.packets[j].lost || j == i); j++ {
					nextToPause = nextToPause || n.packets[j].afterDTX || j+1 <= last && n.packets[j+1].afterDTX
				}
				for j := i; j >= first && n.packets[j].lost; j-- {
					nextToPause = nextToPause || n.packets[j].afterDTX
				}
				for _, s := range at {
					if !nextToPause && s != lost && s != concealed {
						t.Fatalf("seed %d: lost packet %d is %d on the tape", seed, p.id, s)
					}
				}
				continue
			}
			received++
			for _, s := range at {
				if s != int16(p.id) {
					t.Fatalf("seed %d: packet %d is not at its place, there is %d", seed, p.id, s)
				}
			}
			if p.afterDTX && i > first && !n.packets[i-1].lost {
				pauses++
				for pos := n.packets[i-1].pos + int64(n.packets[i-1].samples); pos < p.pos; pos++ {
					if out.samples[pos-origin] != silent {
						t.Fatalf("seed %d: the pause before packet %d is %d", seed, p.id, out.samples[pos-origin])
					}
				}
			}
		}
		if stats.Missing != missing || stats.Late != 0 || stats.Malformed != 0 || stats.Restarts != 0 {
			t.Fatalf("seed %d: %+v, missing %d", seed, stats, missing)
		}
		var gone, quiet int64
		for _, s := range out.samples {
			switch s {
			case lost, concealed:
				gone++
			case silent:
				quiet++
			}
		}
		if stats.Lost != gone || stats.Silent != quiet || stats.Decoded != int64(received*160) {
			t.Fatalf("seed %d: %+v, on the tape %d lost and %d silent", seed, stats, gone, quiet)
		}
		if gone > int64(missing)*160 {
			t.Fatalf("seed %d: %d samples are called lost, %d packets are", seed, gone, missing)
		}
		reordered += stats.Reordered
		duplicates += stats.Duplicate
	}
	if min(losses, pauses, reordered, duplicates) < runs(uint64(3000)) {
		t.Errorf("%d losses, %d pauses, %d reordered, %d duplicates: too few to show anything", losses, pauses, reordered, duplicates)
	}
}

// feed pushes packets that arrive when they are sent.
type feed struct {
	t    testing.TB
	l    *capture.Leg
	seq  uint16
	ts   uint32
	ssrc uint32
	now  time.Time
	id   int
}

func newFeed(t testing.TB, l *capture.Leg) *feed {
	return &feed{t: t, l: l, seq: 100, ts: 5000, ssrc: 1, now: epoch}
}

func (f *feed) pass(d time.Duration) {
	for end := f.now.Add(d); f.now.Before(end); {
		f.now = f.now.Add(20 * time.Millisecond)
		f.l.Tick(f.now)
	}
}

// speak sends n packets of 20 ms.
func (f *feed) speak(n int) {
	for range n {
		f.id++
		f.l.Push(packet(f.t, audioPT, f.seq, f.ts, f.ssrc, idPayload(f.id, 160)), f.now)
		f.seq++
		f.ts += 160
		f.pass(20 * time.Millisecond)
	}
}

// skip lets time pass in which packets are lost (or nothing is sent, as in DTX).
func (f *feed) skip(n int, areLost bool) {
	f.ts += uint32(160 * n)
	if areLost {
		f.seq += uint16(n)
	}
	f.pass(time.Duration(n) * 20 * time.Millisecond)
}

func seconds(samples int64) float64 { return float64(samples) / 8000 }

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
		if areLost && (seconds(s.Lost) != 12 || s.Missing != 600 || s.Silent != 0) || !areLost && (seconds(s.Silent) != 12 || s.Lost != 0 || s.Missing != 0) {
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

// A sender that starts anew under the same SSRC loses no more than one packet.
func TestASenderThatStartsAnew(t *testing.T) {
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
func TestATimestampThatCannotBeBelieved(t *testing.T) {
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
			payload = append([]byte{0x80 | audioPT, 160 >> 6, 160 << 2 & 0xff, byte(len(before)), audioPT}, append(slices.Clone(before), primary...)...)
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

// What the decoder refuses is lost, and costs no more than its own time.
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

// In-order packets are written at once; only a gap makes the leg wait, and not for ever.
func TestItWaitsOnlyAtAGap(t *testing.T) {
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

func TestSenderReportsTellTheTime(t *testing.T) {
	l, _ := newLeg(t, nil)
	f := newFeed(t, l)
	if _, ok := l.Start(); ok {
		t.Error("a start without a report")
	}
	f.speak(50)
	wall := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	l.SenderReport(f.ssrc, wall.Add(time.Second), 5000+8000)
	l.SenderReport(4711, wall, 0) // of somebody else
	if got, ok := l.Start(); !ok || !got.Equal(wall) {
		t.Errorf("start is %v, want %v", got, wall)
	}
}

func TestPushDoesNotAllocate(t *testing.T) {
	l, err := capture.NewLeg(capture.LegConfig{Rate: 8000, PayloadTypes: map[uint8]capture.PayloadType{audioPT: {ClockRate: 8000, Decoder: &idDecoder{}}}}, nothing{})
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
		l, out := newLeg(t, nil)
		now := epoch
		for len(data) > 0 {
			n := min(len(data), 12+int(data[0])%24)
			l.Push(data[:n], now)
			data = data[n:]
			now = now.Add(time.Duration(step) * time.Millisecond)
			l.Tick(now)
		}
		l.Flush()
		// The tape may run ahead of the clock by what a burst may hold, and by what the payloads themselves claim.
		if limit := now.Sub(epoch).Seconds() + 60*float64(l.Stats().Received+1); seconds(int64(len(out.samples))) > limit {
			t.Errorf("%v s on the tape after %v", seconds(int64(len(out.samples))), now.Sub(epoch))
		}
	})
}
