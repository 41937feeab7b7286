package capture_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
)

// fakeTrack returns packets as fast as they are read, on its own clock.
type fakeTrack struct {
	mime    string
	packets [][]byte
	clock   *fakeClock
	stall   chan struct{} // if not nil, reads wait for it once the packets are gone
}

type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (t *fakeTrack) Codec() webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{PayloadType: audioPT, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: t.mime, ClockRate: 8000}}
}
func (t *fakeTrack) SetReadDeadline(time.Time) error { return nil }
func (t *fakeTrack) Read(b []byte) (int, interceptor.Attributes, error) {
	t.clock.pass(20 * time.Millisecond)
	if len(t.packets) == 0 {
		if t.stall != nil {
			select {
			case <-t.stall:
			default:
				time.Sleep(time.Millisecond)
				return 0, nil, os.ErrDeadlineExceeded
			}
		}
		return 0, nil, io.EOF
	}
	p := t.packets[0]
	t.packets = t.packets[1:]
	if p == nil {
		return 0, nil, os.ErrDeadlineExceeded
	}
	return copy(b, p), nil, nil
}

// speechPackets returns n packets of 20 ms that tagVAD classifies as speech.
func speechPackets(t *testing.T, n int, ssrc uint32) (packets [][]byte) {
	t.Helper()
	for i := range n {
		packets = append(packets, packet(t, audioPT, uint16(i), uint32(160*i), ssrc, speechPayload))
	}
	return packets
}

// speechPayload is a packet whose number has the tag of speech in its low bits.
var speechPayload = idPayload(8000|int(capture.Speech), 160)

func newRecorder(t *testing.T, clock *fakeClock, backlog int) *capture.Recorder {
	t.Helper()
	r, err := capture.NewRecorder(capture.RecorderConfig{
		NewDecoder: func(_, mime string) (capture.Decoder, error) {
			if mime != "audio/test" {
				return nil, errors.New("there is no decoder for " + mime)
			}
			return &idDecoder{}, nil
		},
		NewVAD:  func(int) (capture.VAD, error) { return &tagVAD{}, nil },
		Backlog: backlog, Now: clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Check(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func collect(t *testing.T, r *capture.Recorder) (segs []capture.LegSegment) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		seg, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return segs
		}
		if err != nil {
			t.Fatal(err)
		}
		segs = append(segs, seg)
	}
}

func TestRecorderContinuesALegAndKeepsLegsApart(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newRecorder(t, clock, 0)
	for _, leg := range []string{"caller", "agent"} {
		if err := r.Record(t.Context(), leg, &fakeTrack{mime: "audio/test", clock: clock, packets: speechPackets(t, 250, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	clock.pass(10 * time.Second)
	if err := r.Record(t.Context(), "caller", &fakeTrack{mime: "audio/test", clock: clock, packets: speechPackets(t, 250, 2)}); err != nil {
		t.Fatal(err)
	}
	stats := r.Stats()["caller"]
	r.End()
	segs := collect(t, r)
	if len(segs) != 3 || segs[0].Leg != "caller" || segs[1].Leg != "agent" || segs[2].Leg != "caller" {
		t.Fatalf("%d segments", len(segs))
	}
	// The agent spoke for five seconds in between: the caller comes back 15 s after it left.
	if at := segs[2].Offset().Seconds(); at < 19.5 || at > 20.5 || stats.Lost.Seconds() < 14.5 || stats.Packets.Restarts != 1 {
		t.Errorf("continued at %v s, %+v", at, stats)
	}
	if err := r.Record(t.Context(), "caller", &fakeTrack{mime: "audio/test", clock: clock}); err == nil {
		t.Error("recorded after the end of the call")
	}
}

// unknownTypeTrack is a track of pion: it returns packets of payload types that were not negotiated together with an error.
type unknownTypeTrack struct{ *fakeTrack }

func (t unknownTypeTrack) Read(b []byte) (int, interceptor.Attributes, error) {
	n, a, err := t.fakeTrack.Read(b)
	if n > 1 && b[1]&0x7f != audioPT {
		err = errors.New("codec not found")
	}
	return n, a, err
}

// Packets of a payload type that was not negotiated are booked, and the track goes on.
func TestUnknownPayloadTypeDoesNotEndTheTrack(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newRecorder(t, clock, 0)
	packets := speechPackets(t, 100, 1)
	for i := 80; i < 100; i++ {
		packets[i] = packet(t, 96, uint16(i), uint32(160*i), 1, speechPayload)
	}
	track := unknownTypeTrack{&fakeTrack{mime: "audio/test", clock: clock, packets: packets}}
	if err := r.Record(t.Context(), "caller", track); err != nil {
		t.Fatal(err)
	}
	r.End()
	l, _ := r.Ledger("caller")
	if l.Recorded.Packets != 80 || l.Unrecorded[capture.UnrecordedCodec].Packets != 20 || l.Check() != nil {
		t.Errorf("%+v: %v", l, l.Check())
	}
}

func TestRecorderRefusesWhatItCannotRecord(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newRecorder(t, clock, 0)
	if err := r.Record(t.Context(), "caller", &fakeTrack{mime: "audio/iLBC", clock: clock}); err == nil ||
		!strings.Contains(err.Error(), "record leg caller: there is no decoder for audio/iLBC") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Record(ctx, "agent", &fakeTrack{mime: "audio/test", clock: clock}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// Without calls of Next the newest segments lose their audio. They are counted and reported as skipped, so that the call
// does not look analysed.
func TestRecorderBacklogIsBounded(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newRecorder(t, clock, 2)
	var packets [][]byte
	for i := range 5 { // five times five seconds of speech, and a pause of DTX after each
		for j := range 500 {
			p := packet(t, audioPT, uint16(500*i+j), uint32(160*(550*i+j)), 1, speechPayload)
			packets = append(packets, p)
		}
		for range 50 {
			packets = append(packets, nil)
		}
	}
	if err := r.Record(t.Context(), "caller", &fakeTrack{mime: "audio/test", clock: clock, packets: packets}); err != nil {
		t.Fatal(err)
	}
	r.End()
	segs := collect(t, r)
	kept, dropped := 0, uint64(0)
	for i, s := range segs {
		switch {
		case s.PCM != nil:
			kept++
			if i >= 2 {
				t.Errorf("segment %d has audio, the newest are to be dropped", i)
			}
		case s.Skipped == capture.ReasonBacklog && s.Speech > 0:
			dropped++
		}
	}
	if kept != 2 || dropped != 3 || r.Dropped() != 3 {
		t.Errorf("%d kept, %d dropped, %d counted", kept, dropped, r.Dropped())
	}
}

func TestRecorderPauseDiscards(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newRecorder(t, clock, 0)
	if r.Pause("caller", "anna") {
		t.Error("paused a leg that is not there")
	}
	if err := r.Record(t.Context(), "caller", &fakeTrack{mime: "audio/test", clock: clock, packets: speechPackets(t, 100, 1)}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time changes nothing
		if !r.Pause("caller", "anna") {
			t.Error("the leg cannot be paused")
		}
	}
	more := speechPackets(t, 400, 1)
	for i, p := range more {
		binary.BigEndian.PutUint16(p[2:], uint16(100+i))
		binary.BigEndian.PutUint32(p[4:], uint32(160*(100+i)))
	}
	if err := r.Record(t.Context(), "caller", &fakeTrack{mime: "audio/test", clock: clock, packets: more[:200]}); err != nil {
		t.Fatal(err)
	}
	r.Resume("caller", "ivr")
	if err := r.Record(t.Context(), "caller", &fakeTrack{mime: "audio/test", clock: clock, packets: more[200:]}); err != nil {
		t.Fatal(err)
	}
	s := r.Stats()["caller"]
	r.End()
	segs := collect(t, r)
	if s.Duration != 10*time.Second || s.Paused != 4*time.Second || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	for _, seg := range segs {
		if from, to := seg.Offset(), seg.Offset()+seg.Duration(); seg.Skipped == "" && from < 2*time.Second && to > 6*time.Second {
			for _, v := range seg.PCM[16000-seg.Span.Start : 48000-seg.Span.Start] {
				if v != 0 {
					t.Fatal("what was paused is on the tape")
				}
			}
		}
	}
}
