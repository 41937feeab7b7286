package capture_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"callscreen/capture"
	"callscreen/capture/vad"
)

// muLawDecoder decodes G.711 mu-law.
type muLawDecoder struct{}

func (muLawDecoder) Rate() int { return 8000 }
func (muLawDecoder) Reset()    {}
func (muLawDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	for _, b := range payload {
		b = ^b
		v := (int16(b&0x0f)<<3+132)<<(b>>4&7) - 132
		if b&0x80 != 0 {
			v = -v
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// SRTP without its key decodes to noise as G.711: all packets are recorded, and the detector hears nothing but noise.
func TestEncryptedAudioIsNoise(t *testing.T) {
	detector, err := vad.New(8000, nil)
	if err != nil {
		t.Fatal(err)
	}
	seg, err := capture.NewSegmenter(detector, capture.SegmenterConfig{Rate: 8000})
	if err != nil {
		t.Fatal(err)
	}
	types := map[uint8]capture.PayloadType{0: {ClockRate: 8000, Decoder: muLawDecoder{}}}
	l, err := capture.NewLeg(capture.LegConfig{Rate: 8000, PayloadTypes: types}, seg)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, 160)
	for i := range 1150 {
		for j := range payload {
			payload[j] = byte(rng.Uint32())
		}
		l.Push(packet(t, 0, uint16(i), uint32(160*i), 1, payload), epoch.Add(time.Duration(i)*20*time.Millisecond))
	}
	l.Flush()
	seg.Flush()
	closes(t, l)
	if got := l.Ledger().Recorded; got.Packets != 1150 || got.Time != 23*time.Second {
		t.Errorf("recorded: %+v", got)
	}
	speech, noise := seg.Heard(capture.Speech), seg.Heard(capture.Noise)
	if speech > 8000/10 || noise+seg.Heard(capture.Silence) < 22*8000 {
		t.Errorf("%v of speech, %v of noise", at(speech), at(noise))
	}
	for s, ok := seg.Next(); ok; s, ok = seg.Next() {
		if s.Skipped == "" {
			t.Errorf("%v at %v would be analysed", s.Duration(), s.Offset())
		}
	}
}

// Payloads that the decoder rejects are booked with their time, also when none is ever decoded.
func TestALegThatCannotBeDecoded(t *testing.T) {
	st := newStory(t, 1, 8000)
	s := st.join(opus)
	for range 500 {
		st.transmit(s.pt, s.seq, s.ts, s.ssrc, []byte("not a payload"))
		s.seq++
		s.ts += 960
		st.pass(20 * time.Millisecond)
	}
	st.end()
	st.verify("undecodable")
	l := st.leg.Ledger()
	if c := l.Unrecorded[capture.UnrecordedCodec]; c.Packets != 500 || c.Time < 9900*time.Millisecond || c.Time > 10100*time.Millisecond {
		t.Errorf("%+v", l)
	}
}

// muLawLeg returns a leg of mu-law with telephone-event and comfort noise.
func muLawLeg(t *testing.T) *capture.Leg {
	t.Helper()
	types := map[uint8]capture.PayloadType{
		0: {ClockRate: 8000, Decoder: muLawDecoder{}}, 13: {ClockRate: 8000, Kind: capture.KindNoise},
		101: {ClockRate: 8000, Kind: capture.KindEvent},
	}
	l, err := capture.NewLeg(capture.LegConfig{Rate: 8000, PayloadTypes: types}, &tape{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A voice in many small packets of comfort noise or telephone-event does not count as heard. Their usual rates do.
func TestAVoiceInPacketsWithoutAudioIsNotHeard(t *testing.T) {
	for name, c := range map[string]struct {
		pt           uint8
		bytes        int
		every        time.Duration
		most, atMost int // unrecorded packets of 12 s
	}{
		"mu-law as comfort noise":     {13, 32, 4 * time.Millisecond, 2700, 3000},
		"mu-law as telephone-event":   {101, 20, 2500 * time.Microsecond, 4300, 4800},
		"comfort noise":               {13, 11, 100 * time.Millisecond, 0, 0},
		"comfort noise each 20 ms":    {13, 9, 20 * time.Millisecond, 0, 0},
		"a digit held for 12 seconds": {101, 4, 20 * time.Millisecond, 0, 0},
	} {
		l := muLawLeg(t)
		at, seq, ts := time.Duration(0), uint16(0), uint32(0)
		push := func(pt uint8, payload []byte, d time.Duration) {
			l.Push(packet(t, pt, seq, ts, 1, payload), epoch.Add(at))
			seq++
			ts += uint32(d.Seconds() * 8000)
			at += d
		}
		for range 50 {
			push(0, make([]byte, 160), 20*time.Millisecond)
		}
		for range int(12 * time.Second / c.every) {
			push(c.pt, make([]byte, c.bytes), c.every)
		}
		l.Flush()
		closes(t, l)
		if got := l.Ledger().Unrecorded[capture.UnrecordedCodec]; got.Packets < int64(c.most) || got.Packets > int64(c.atMost) {
			t.Errorf("%s: %+v", name, l.Ledger())
		}
	}
}

// Lost packets that were longer than the last one are lost with all of their time.
func TestLostPacketsAreAsLongAsTheNextOne(t *testing.T) {
	l := muLawLeg(t)
	seq, ts := uint16(0), uint32(0)
	for i := range 700 {
		n := 160
		if i >= 600 {
			n = 960
		}
		if i < 600 || i == 699 {
			l.Push(packet(t, 0, seq, ts, 1, make([]byte, n)), epoch.Add(time.Duration(ts)*time.Second/8000))
		}
		seq++
		ts += uint32(n)
	}
	l.Flush()
	closes(t, l)
	if got := l.Ledger().Lost; got.Packets != 99 || got.Time < 11800*time.Millisecond || got.Time > 11900*time.Millisecond {
		t.Errorf("%+v", l.Ledger())
	}
}
