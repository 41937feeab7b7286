package capture_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
)

// liveTrack is a track whose packets a test sends one by one. send returns when the packet was taken in.
type liveTrack struct {
	codec   webrtc.RTPCodecParameters
	clock   *fakeClock
	packets chan []byte
	taken   chan struct{} // one for each Read after the first
	wake    chan struct{}
	once    sync.Once
}

func newLiveTrack(c codec, clock *fakeClock) *liveTrack {
	return &liveTrack{
		codec: webrtc.RTPCodecParameters{
			PayloadType:        webrtc.PayloadType(c.pt),
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mimeOf(c), ClockRate: uint32(c.clock)},
		},
		clock:   clock,
		packets: make(chan []byte),
		taken:   make(chan struct{}),
		wake:    make(chan struct{}, 1),
	}
}

func mimeOf(c codec) string { return fmt.Sprintf("audio/level%d", c.rate) }

func (t *liveTrack) Codec() webrtc.RTPCodecParameters { return t.codec }
func (t *liveTrack) SetReadDeadline(at time.Time) error {
	if at.Before(epoch) {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

func (t *liveTrack) Read(b []byte) (int, interceptor.Attributes, error) {
	first := false
	t.once.Do(func() { first = true })
	if !first {
		t.taken <- struct{}{}
	}
	select {
	case p, ok := <-t.packets:
		if !ok {
			return 0, nil, io.EOF
		}
		return copy(b, p), nil, nil
	case <-t.wake:
		go func() { <-t.taken }() // a further Read, if there is one
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// talk sends packets of a level and returns when all are taken in.
func (t *liveTrack) talk(tb testing.TB, s *sender, level, packets int) {
	tb.Helper()
	for range packets {
		payload := []byte{byte(level >> 8), byte(level), 0, 200}
		t.packets <- packet(tb, s.pt, s.seq, s.ts, s.ssrc, payload)
		s.seq++
		s.ts += uint32(s.clock / 50)
		<-t.taken
		t.clock.pass(20 * time.Millisecond)
	}
}

func newLevelRecorder(t *testing.T, clock *fakeClock) *capture.Recorder {
	t.Helper()
	r, err := capture.NewRecorder(capture.RecorderConfig{
		NewDecoder: func(_, mime string) (capture.Decoder, error) {
			for _, c := range codecs {
				if mime == mimeOf(c) {
					return levelDecoder{c.rate}, nil
				}
			}
			return nil, errors.New("there is no decoder for " + mime)
		},
		NewVAD: func(rate int) (capture.VAD, error) { return loudVAD(rate), nil },
		Now:    clock.Now,
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

// record starts a recording, and returns its result later.
func record(r *capture.Recorder, leg string, track capture.Track) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.Record(context.Background(), leg, track) }()
	return done
}

func toneOf(segs []capture.LegSegment) (heard time.Duration) {
	for _, s := range segs {
		heard += toneIn(s.PCM, s.Rate)
	}
	return heard
}

// A sender that comes back while its dead session still has the leg used to be refused without a trace.
func TestANewerTrackTakesTheLegOver(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newLevelRecorder(t, clock)
	first, second := newLiveTrack(narrow, clock), newLiveTrack(opus, clock)
	old := record(r, "caller", first)
	first.talk(t, &sender{codec: narrow, ssrc: 1}, human, 450)
	done := record(r, "caller", second)
	if err := <-old; !errors.Is(err, capture.ErrTakenOver) {
		t.Errorf("the older recording ends with %v", err)
	}
	second.talk(t, &sender{codec: opus, ssrc: 2}, tone, 500)
	close(second.packets)
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.End()
	l, _ := r.Ledger("caller")
	if heard := toneOf(collect(t, r)); heard < 9980*time.Millisecond || l.Recorded.Packets != 950 {
		t.Errorf("%v of 10 s are heard: %+v", heard, l)
	}
}

// A leg that comes back with another codec used to be refused if the codec has another rate.
func TestALegGoesOnAtAnotherRate(t *testing.T) {
	for _, order := range [][]codec{{narrow, opus}, {wide, narrow}} {
		clock := &fakeClock{now: epoch}
		r := newLevelRecorder(t, clock)
		for i, c := range order {
			track := newLiveTrack(c, clock)
			done := record(r, "caller", track)
			track.talk(t, &sender{codec: c, ssrc: uint32(i)}, tone, 250)
			close(track.packets)
			if err := <-done; err != nil {
				t.Error(err)
			}
			clock.pass(10 * time.Second)
		}
		stats := r.Stats()["caller"]
		r.End()
		segs := collect(t, r)
		if heard := toneOf(segs); heard < 9980*time.Millisecond || stats.Rate != 16000 {
			t.Errorf("%v of 10 s are heard at %d Hz", heard, stats.Rate)
		}
		if at := segs[len(segs)-1].Offset(); at < 14500*time.Millisecond || at > 15500*time.Millisecond {
			t.Errorf("the leg goes on at %v of 15 s", at)
		}
	}
}

// Packets of a sender that may not take the leg over are booked.
func TestARefusedTrackIsBooked(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newLevelRecorder(t, clock)
	track, other := newLiveTrack(narrow, clock), newLiveTrack(narrow, clock)
	done := record(r, "caller", track)
	track.talk(t, &sender{codec: narrow, ssrc: 1}, human, 50)
	refused := make(chan error, 1)
	go func() { refused <- r.Refuse(context.Background(), "caller", other, capture.UnrecordedLegBusy) }()
	other.talk(t, &sender{codec: narrow, ssrc: 2}, tone, 500)
	track.talk(t, &sender{codec: narrow, ssrc: 1, seq: 50, ts: 550 * 160}, human, 50)
	close(other.packets)
	close(track.packets)
	if err := errors.Join(<-done, <-refused); err != nil {
		t.Error(err)
	}
	r.End()
	l, _ := r.Ledger("caller")
	if busy := l.Unrecorded[capture.UnrecordedLegBusy]; busy.Packets != 500 || busy.Time != 10*time.Second || l.Recorded.Packets != 100 {
		t.Errorf("%+v", l)
	}
	if len(l.Spans) < 1 || l.Spans[0].Reason != capture.UnrecordedLegBusy || l.Spans[0].End-l.Spans[0].Start < 9900*time.Millisecond {
		t.Errorf("spans are %+v", l.Spans)
	}
}

// Two tracks of one sender are both recorded, one after the other.
func TestASecondTrackOfTheSameSender(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newLevelRecorder(t, clock)
	first, second := newLiveTrack(narrow, clock), newLiveTrack(opus, clock)
	a, b := &sender{codec: narrow, ssrc: 1}, &sender{codec: opus, ssrc: 2}
	done := record(r, "caller", first)
	first.talk(t, a, tone, 250)
	joined := make(chan error, 1)
	go func() { joined <- r.Join(context.Background(), "caller", second) }()
	second.talk(t, b, tone, 250)
	a.ts += 250 * 160
	first.talk(t, a, tone, 250)
	close(first.packets)
	close(second.packets)
	if err := errors.Join(<-done, <-joined); err != nil {
		t.Error(err)
	}
	r.End()
	l, _ := r.Ledger("caller")
	if heard := toneOf(collect(t, r)); heard < 14800*time.Millisecond || l.Recorded.Packets != 750 {
		t.Errorf("%v of 15 s are heard: %+v", heard, l)
	}
}

// A pause used to leave no trace.
func TestAPauseIsBooked(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newLevelRecorder(t, clock)
	track, s := newLiveTrack(narrow, clock), &sender{codec: narrow, ssrc: 1}
	done := record(r, "caller", track)
	track.talk(t, s, human, 250)
	r.Pause("caller", "anna")
	track.talk(t, s, tone, 1250)
	r.Resume("caller", "ivr")
	track.talk(t, s, human, 200)
	close(track.packets)
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.End()
	l, _ := r.Ledger("caller")
	if l.Paused.Packets != 1250 || l.Paused.Time != 25*time.Second || l.Recorded.Packets != 450 {
		t.Errorf("%+v", l)
	}
	want := capture.Pausing{
		Who:       "anna",
		ResumedBy: "ivr",
		From:      5 * time.Second,
		To:        30 * time.Second,
		Began:     epoch.Add(5 * time.Second),
		Ended:     epoch.Add(30 * time.Second),
	}
	if len(l.Pauses) != 1 || l.Pauses[0] != want {
		t.Errorf("pauses are %+v", l.Pauses)
	}
	if len(l.Spans) != 1 || l.Spans[0] != (capture.Missing{Start: 5 * time.Second, End: 30 * time.Second, Reason: capture.MissingPaused}) {
		t.Errorf("spans are %+v", l.Spans)
	}
	if heard := toneOf(collect(t, r)); heard != 0 {
		t.Errorf("%v of what was paused are in the segments", heard)
	}
}

// However often a leg is paused, the list of pauses is bounded, and covers all of them.
func TestPausesAreBounded(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newLevelRecorder(t, clock)
	r.Announce("caller")
	for range 1000 {
		r.Pause("caller", "anna")
		clock.pass(time.Second)
		r.Resume("caller", "anna")
	}
	l, _ := r.Ledger("caller")
	if n := len(l.Pauses); n == 0 || n > 256 || !l.Pauses[n-1].Ended.Equal(clock.Now()) {
		t.Errorf("%d pauses, the last is %+v", n, l.Pauses[max(n, 1)-1])
	}
}

// A leg that was negotiated and of which no packet arrived is known; its sender reports show what was lost.
func TestALegOfWhichNothingArrives(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newLevelRecorder(t, clock)
	r.Announce("caller")
	r.Announce("agent")
	for i := range 5 {
		clock.pass(5 * time.Second)
		r.SenderReport("caller", &rtcp.SenderReport{SSRC: 7, PacketCount: uint32(250 * (i + 1))})
	}
	if s, ok := r.Stats()["agent"]; !ok || s.Packets.Received != 0 || s.Recording {
		t.Errorf("%+v, %v", s, ok)
	}
	if l, ok := r.Ledger("agent"); !ok || l.Sent.Packets != 0 {
		t.Errorf("%+v, %v", l, ok)
	}
	if l, _ := r.Ledger("caller"); l.Sent.Packets != 1250 || l.Lost.Packets != 1250 || l.Lost.Time != 25*time.Second {
		t.Errorf("%+v", l)
	}
	if _, ok := r.Ledger("nobody"); ok {
		t.Error("a leg that was never announced has a ledger")
	}
}

// A caller books what never reached the recorder, or was lost behind it.
func TestWhatIsDroppedElsewhereIsBooked(t *testing.T) {
	clock := &fakeClock{now: epoch}
	r := newLevelRecorder(t, clock)
	track := newLiveTrack(narrow, clock)
	done := record(r, "caller", track)
	track.talk(t, &sender{codec: narrow, ssrc: 1}, human, 500)
	close(track.packets)
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.Book("caller", capture.UnrecordedOtherSource, 50, time.Second)
	r.End()
	segs := collect(t, r)
	r.Discard("caller", capture.UnrecordedDisk, segs[0].Segment)
	l, _ := r.Ledger("caller")
	disk, other := l.Unrecorded[capture.UnrecordedDisk], l.Unrecorded[capture.UnrecordedOtherSource]
	if disk.Time != segs[0].Duration() || disk.Packets != int64(disk.Time/(20*time.Millisecond)) || other.Packets != 50 {
		t.Errorf("%+v", l)
	}
	if l.Sent.Packets != 550 || l.Recorded.Time+disk.Time != 10*time.Second {
		t.Errorf("%+v", l)
	}
}
