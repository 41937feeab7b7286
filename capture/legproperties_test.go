package capture_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"callscreen/capture"
)

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

// network is a random call with the deliveries of the network.
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
			n.deliveries = append(
				n.deliveries,
				delivery{time.Duration(p.pos)*time.Second/8000 + time.Duration(rng.IntN(jitter))*time.Millisecond, id},
			)
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
		clear(b) // a kept packet would show
	}
	l.Flush()
	closes(t, l)
}

// The properties of the timeline, over random losses, bursts, reordering, duplicates, pauses and wraps.
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
				// Within speech a lost packet is lost. Next to a pause its place is unknown.
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
		ledger := l.Ledger()
		if ledger.Lost.Packets != int64(missing) || ledger.Recorded.Packets != int64(received) || ledger.UnrecordedTotal().Packets != 0 {
			t.Fatalf("seed %d: %+v, %d received and %d missing", seed, ledger, received, missing)
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
