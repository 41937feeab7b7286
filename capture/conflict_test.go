package capture_test

import (
	"testing"
	"time"

	"callscreen/capture"
)

// pushed is a packet with the time of its arrival.
type pushed struct {
	at      time.Duration
	seq     int
	pt      uint8
	payload []byte
}

// ledgerOf pushes packets of one SSRC, whose timestamps follow their numbers, and returns the ledger at the end.
func ledgerOf(t *testing.T, list []pushed) capture.Ledger {
	t.Helper()
	leg, _ := newLeg(t, nil)
	start := time.Unix(1, 0)
	for _, p := range list {
		leg.Tick(start.Add(p.at))
		leg.Push(packet(t, p.pt, uint16(p.seq), uint32(160*p.seq), 7, p.payload), start.Add(p.at))
	}
	leg.Flush()
	closes(t, leg)
	return leg.Ledger()
}

// A second packet of the same number that is no copy used to be booked as a duplicate, which no rule reads. A copy still is.
func TestOnlyACopyIsADuplicate(t *testing.T) {
	const n = 1200
	for _, after := range []int{0, 1, 40, 120, 150, 450, 700} {
		for _, copied := range []bool{true, false} {
			var list []pushed
			for i := range n {
				list = append(list, pushed{time.Duration(i) * 20 * ms, i, 0, idPayload(i, 160)})
				if again := i - after; again >= 0 {
					second := idPayload(again, 160)
					if !copied {
						second[0], second[1], second[2] = 0x55, 0xaa, 0x77
					}
					list = append(list, pushed{time.Duration(i)*20*ms + ms, again, 0, second})
				}
			}
			l := ledgerOf(t, list)
			un := l.UnrecordedTotal().Packets
			if again := int64(n - after); copied && after <= 120 && (l.Duplicate.Packets != again || un != 0) || !copied && un != again {
				t.Errorf("%d later, copies %v: %+v", after, copied, l)
			}
			if l.Recorded.Packets != n || l.Lost.Packets != 0 {
				t.Errorf("%d later, copies %v: %+v", after, copied, l)
			}
		}
	}
}

// A voice under the payload type of telephone-event or comfort noise used to count as understood.
func TestAVoiceIsNoEvent(t *testing.T) {
	for _, pt := range []uint8{eventPT, noisePT} {
		var list []pushed
		for i := range 400 {
			p := pushed{time.Duration(i) * 20 * ms, i, 0, idPayload(i, 160)}
			if i >= 200 {
				p.pt, p.payload = pt, make([]byte, 160)
			}
			list = append(list, p)
		}
		if l := ledgerOf(t, list); l.Unrecorded[capture.UnrecordedCodec].Packets != 200 || l.Recorded.Packets != 200 {
			t.Errorf("payload type %d: %+v", pt, l)
		}
		for i := 200; i < 400; i++ {
			list[i].payload = []byte{1, 0x8a, 3, 0x20}
		}
		if l := ledgerOf(t, list); l.UnrecordedTotal().Packets != 0 || l.Recorded.Packets != 400 {
			t.Errorf("payload type %d: %+v", pt, l)
		}
	}
}

// Packets that were held back on the way, and arrive after the last one, used to open a second sequence after the tenth: they
// were booked as lost and recorded too.
func TestPacketsThatWereHeldBackAreLate(t *testing.T) {
	var list []pushed
	for i := range 700 {
		if i < 660 || i >= 680 {
			list = append(list, pushed{time.Duration(i) * 20 * ms, i, 0, idPayload(i, 160)})
		}
	}
	for i := 660; i < 680; i++ {
		list = append(list, pushed{14200*ms + time.Duration(i)*ms, i, 0, idPayload(i, 160)})
	}
	l := ledgerOf(t, list)
	if l.Sent.Packets != 700 || l.Recorded.Packets != 680 || l.Unrecorded[capture.UnrecordedLate].Packets != 20 || l.Lost.Packets != 0 {
		t.Errorf("%+v", l)
	}
}
