package capture_test

import (
	"slices"
	"testing"
	"time"

	"callscreen/capture"
)

// redundant returns a RED payload with one copy before the primary payload.
func redundant(copyType uint8, offset int, earlier []byte, primaryType uint8, primary []byte) []byte {
	head := []byte{0x80 | copyType, byte(offset >> 6), byte(offset<<2) | byte(len(earlier)>>8), byte(len(earlier)), primaryType}
	return append(append(head, earlier...), primary...)
}

// A copy of the packet before the last one is placed by its timestamp: taken for a copy of the last one it would be heard
// twice.
func TestREDCopyOfAnEarlierPacket(t *testing.T) {
	l, out := newLeg(t, nil)
	f := newFeed(t, l)
	var sent [][]byte
	for i := range 100 {
		f.id++
		primary := idPayload(f.id, 160)
		payload := append([]byte{audioPT}, primary...)
		if i >= 2 {
			payload = redundant(audioPT, 320, sent[i-2], audioPT, primary)
		}
		sent = append(sent, slices.Clone(primary))
		if i%6 != 4 && i%6 != 5 { // two in a row are lost
			l.Push(packet(t, redPT, f.seq, f.ts, f.ssrc, payload), f.now)
		}
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
	if ledger := l.Ledger(); ledger.Recorded.Packets != 100 || ledger.Lost.Packets != 0 {
		t.Errorf("%+v", ledger)
	}
}

// RED whose blocks change their codec is heard; a primary block that cannot be decoded is booked.
func TestREDWithChangingCodecs(t *testing.T) {
	const redType = 63
	types := storyTypes()
	types[redType] = capture.PayloadType{ClockRate: 48000, Kind: capture.KindRED}
	st := newStory(t, 3, 16000)
	st.leg.Renegotiate(types)
	s := st.join(opus)
	payload := []byte{tone >> 8, tone & 0xff, 0, 200}
	var earlier []byte
	earlierType := opus.pt
	for i := range 300 {
		c := []codec{opus, narrow, opus, foreign}[i/75]
		b := append([]byte{c.pt}, payload...)
		if earlier != nil && i%75 != 0 {
			b = redundant(earlierType, c.clock/50, earlier, c.pt, payload)
		}
		earlier, earlierType = payload, c.pt
		st.transmit(redType, s.seq, s.ts, s.ssrc, b)
		s.seq++
		s.ts += uint32(c.clock / 50)
		st.pass(20 * time.Millisecond)
	}
	st.transmit(redType, s.seq, s.ts, s.ssrc, []byte{0x80}) // malformed
	st.end()
	st.toneSent = 6 * time.Second
	st.verify("RED")
	l := st.leg.Ledger()
	heard, _ := st.toneHeard()
	if heard < 4480*time.Millisecond || l.Recorded.Packets != 225 || l.Unrecorded[capture.UnrecordedCodec].Packets != 75 ||
		l.Unrecorded[capture.UnrecordedMalformed].Packets != 1 {
		t.Errorf("%v heard, %+v", heard, l)
	}
}

// Audio that is only in the redundant blocks of RED is not heard, and is booked.
func TestAudioThatIsOnlyInCopiesIsBooked(t *testing.T) {
	for name, c := range map[string]struct {
		step, offset int // ticks of the packets, and of the block before the primary one
		unheard      bool
	}{
		"copies of the packet before":            {160, 160, false},
		"copies of the packet before the last":   {160, 320, false},
		"frames between those of the packets":    {320, 160, true},
		"frames at another time than the packet": {160, 80, true},
		"frames at the time of the packet":       {160, 0, true},
	} {
		l, _ := newLeg(t, nil)
		f := newFeed(t, l)
		for range 200 {
			f.id++
			l.Push(packet(t, redPT, f.seq, f.ts, f.ssrc, redundant(audioPT, c.offset, idPayload(999, 160), audioPT, idPayload(f.id, 160))), f.now)
			f.seq++
			f.ts += uint32(c.step)
			f.pass(time.Duration(c.step) * time.Second / 8000)
		}
		l.Flush()
		closes(t, l)
		got := l.Ledger().Unrecorded[capture.UnrecordedMalformed]
		if c.unheard != (got.Time > 3500*time.Millisecond) || !c.unheard && got.Time > 0 || got.Packets != 0 {
			t.Errorf("%s: %+v", name, l.Ledger())
		}
	}
}
