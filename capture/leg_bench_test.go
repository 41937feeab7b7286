package capture_test

import (
	"encoding/binary"
	"testing"
	"time"

	"callscreen/capture"
)

// BenchmarkLeg measures the leg alone, with a decoder that does almost nothing.
func BenchmarkLeg(b *testing.B) {
	l, err := capture.NewLeg(
		capture.LegConfig{Rate: 8000, PayloadTypes: map[uint8]capture.PayloadType{audioPT: {ClockRate: 8000, Decoder: &idDecoder{}}}},
		nothing{},
	)
	if err != nil {
		b.Fatal(err)
	}
	p := packet(b, audioPT, 0, 0, 1, idPayload(1, 160))
	now, n := epoch, 0
	b.ReportAllocs()
	for b.Loop() {
		binary.BigEndian.PutUint16(p[2:], uint16(n))
		binary.BigEndian.PutUint32(p[4:], uint32(n*160))
		l.Push(p, now)
		now = now.Add(20 * time.Millisecond)
		l.Tick(now)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n)*3, "ms/min")
}
