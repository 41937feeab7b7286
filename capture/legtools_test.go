package capture_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/pion/rtp"

	"callscreen/capture"
)

// idDecoder makes samples that equal the number of their packet. The payload is the number of the packet and its length in
// samples.
type idDecoder struct{ resets int }

func (d *idDecoder) Rate() int { return 8000 }
func (d *idDecoder) Reset()    { d.resets++ }

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

// The samples of a tape where no packet was.
const (
	silent    = 0
	concealed = -1
	lost      = -2
)

// tape is a sink that keeps all samples.
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
	p := rtp.Packet{Header: rtp.Header{
		Version:        2,
		PayloadType:    pt,
		SequenceNumber: seq,
		Timestamp:      ts,
		SSRC:           ssrc,
	}, Payload: payload}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// feed pushes packets without delay.
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
	t.Helper()
	t.Cleanup(func() {
		l.Flush()
		closes(t, l)
	})
	return &feed{
		t:    t,
		l:    l,
		seq:  100,
		ts:   5000,
		ssrc: 1,
		now:  epoch,
	}
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

// skip passes time in which packets are lost, or not sent as in DTX.
func (f *feed) skip(n int, areLost bool) {
	f.ts += uint32(160 * n)
	if areLost {
		f.seq += uint16(n)
	}
	f.pass(time.Duration(n) * 20 * time.Millisecond)
}

// closes checks that the ledger of a leg closes.
func closes(t testing.TB, l *capture.Leg) {
	t.Helper()
	if err := l.Ledger().Check(); err != nil {
		t.Error(err)
	}
}

func seconds(samples int64) float64 { return float64(samples) / 8000 }
