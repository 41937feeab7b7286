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
