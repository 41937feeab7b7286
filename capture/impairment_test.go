package capture_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"callscreen/capture"
)

// The table in docs/measurements.md: effects of bad networks on a call of 60 s, at the packet level, without retransmission.
func TestImpairments(t *testing.T) {
	type row struct {
		name     string
		loss     float64
		burst    int
		jitter   time.Duration
		blackout bool
		dtx      bool
		newSSRC  bool
		red      bool
	}
	t.Logf("%-28s %9s %9s %9s %9s %9s", "60 s of call", "recorded", "lost", "concealed", "repaired", "silent")
	for _, r := range []row{
		{name: "nothing is wrong"},
		{name: "1 % loss", loss: 0.01},
		{name: "5 % loss", loss: 0.05},
		{name: "10 % loss", loss: 0.1},
		{name: "5 % loss, RED", loss: 0.05, red: true},
		{name: "10 % loss, RED", loss: 0.1, red: true},
		{name: "5 % loss in bursts of 3", loss: 0.05, burst: 3},
		{name: "jitter 0-100 ms", jitter: 100 * time.Millisecond},
		{name: "5 % loss, jitter 0-100 ms", loss: 0.05, jitter: 100 * time.Millisecond},
		{name: "blackout of 12 s", blackout: true},
		{name: "DTX, half of the time", dtx: true},
		{name: "another SSRC after 30 s", newSSRC: true},
	} {
		rng := rand.New(rand.NewPCG(4, 5))
		type arriving struct {
			at time.Duration
			b  []byte
		}
		var packets []arriving
		seq, ts, ssrc, losing := uint16(65000), uint32(1<<32-100000), uint32(1), 0
		var before []byte
		for i := range 3000 {
			at := time.Duration(i) * 20 * time.Millisecond
			if r.newSSRC && i == 1500 {
				seq, ts, ssrc = 5, 77, 2
			}
			if r.dtx && i/100%2 == 1 && i < 2999 {
				ts += 160
				continue
			}
			if losing == 0 && rng.Float64() < r.loss/float64(max(r.burst, 1)) {
				losing = max(r.burst, 1)
			}
			gone := losing > 0 && i > 0 && i < 2999 // the ends of the call are there, so that its length is known
			losing = max(losing-1, 0)
			gone = gone || r.blackout && i >= 1000 && i < 1600
			primary := idPayload(i%30000+1, 160)
			b := packet(t, audioPT, seq, ts, ssrc, primary)
			if r.red && before != nil {
				b = packet(
					t,
					redPT,
					seq,
					ts,
					ssrc,
					append([]byte{0x80, 160 >> 6, 160 << 2 & 0xff, 4, audioPT}, append(slices.Clone(before), primary...)...),
				)
			}
			before = primary
			if !gone {
				delay := time.Duration(0)
				if r.jitter > 0 {
					delay = time.Duration(rng.Int64N(int64(r.jitter)))
				}
				packets = append(packets, arriving{at + delay, b})
			}
			seq++
			ts += 160
		}
		slices.SortStableFunc(packets, func(a, b arriving) int { return int(a.at - b.at) })
		l, err := capture.NewLeg(capture.LegConfig{Rate: 8000, PayloadTypes: map[uint8]capture.PayloadType{
			audioPT: {ClockRate: 8000, Decoder: &idDecoder{}}, redPT: {ClockRate: 8000, Kind: capture.KindRED},
		}}, nothing{})
		if err != nil {
			t.Fatal(err)
		}
		tick := time.Duration(0)
		for _, p := range packets {
			for ; tick < p.at; tick += 100 * time.Millisecond {
				l.Tick(epoch.Add(tick))
			}
			l.Push(p.b, epoch.Add(p.at))
		}
		l.Flush()
		s := l.Stats()
		recorded := seconds(l.Position())
		t.Logf(
			"%-28s %8.2fs %8.2f%% %8.2f%% %9d %8.2fs",
			r.name,
			recorded,
			seconds(s.Lost)/60*100,
			seconds(s.Concealed)/60*100,
			s.Repaired,
			seconds(s.Silent),
		)
		if recorded < 59.98 || recorded > 60.02 {
			t.Errorf("%s: recorded %v s of 60", r.name, recorded)
		}
		if share := seconds(s.Lost) / 60; r.blackout && (share < 0.199 || share > 0.201) || r.loss == 0 && !r.blackout && share > 0.0001 ||
			r.red && share > r.loss*r.loss*2 {
			t.Errorf("%s: %.2f %% is lost", r.name, share*100)
		}
		if s.Late > 0 {
			t.Errorf("%s: %d packets came too late", r.name, s.Late)
		}
	}
}
