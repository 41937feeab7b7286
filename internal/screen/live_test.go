package screen_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// book records the calls of its methods in order.
type book struct {
	mu      sync.Mutex
	entries []entry
	ended   chan store.Part
	fails   error
}

type entry struct {
	part    store.Part
	segment *capture.LegSegment
}

func newBook() *book { return &book{ended: make(chan store.Part, 100)} }

func (b *book) add(e entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
	if e.segment == nil && !e.part.EndedAt.IsZero() {
		b.ended <- e.part
	}
	return b.fails
}

func (b *book) Progress(p store.Part) error                     { return b.add(entry{part: p}) }
func (b *book) Take(p store.Part, seg capture.LegSegment) error { return b.add(entry{p, &seg}) }

func (b *book) read() []entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]entry(nil), b.entries...)
}

func (b *book) end(t *testing.T) store.Part {
	t.Helper()
	select {
	case p := <-b.ended:
		return p
	case <-time.After(patience):
		t.Fatal("the call does not end")
		return store.Part{}
	}
}

// talker is a VAD that detects speech in all audio.
type talker struct{}

func (talker) FrameSize() int                 { return 160 }
func (talker) Classify([]int16) capture.Sound { return capture.Speech }
func (talker) Reset()                         {}

func newLive(t *testing.T, b *book, change func(*screen.LiveConfig)) *screen.Live {
	t.Helper()
	cfg := screen.LiveConfig{
		Book:    b,
		Node:    "n1",
		Segment: capture.SegmenterConfig{Rate: 8000},
		NewVAD:  func(int) (capture.VAD, error) { return talker{}, nil },
		Linger:  time.Millisecond,
		Grace:   time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	l := screen.NewLive(cfg)
	t.Cleanup(l.Close)
	return l
}

// track returns packets with a number of seconds of G.711 speech, as fast as they are read.
type track struct {
	packets int
	sent    int
}

func (*track) SetReadDeadline(time.Time) error { return nil }
func (*track) Codec() webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		PayloadType:        0,
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000},
	}
}

func (k *track) Read(b []byte) (int, interceptor.Attributes, error) {
	if k.sent == k.packets {
		return 0, nil, io.EOF
	}
	b[0], b[1] = 0x80, 0
	binary.BigEndian.PutUint16(b[2:], uint16(k.sent))
	binary.BigEndian.PutUint32(b[4:], uint32(160*k.sent))
	binary.BigEndian.PutUint32(b[8:], 7)
	for i := range 160 {
		b[12+i] = byte(k.sent + i*i)
	}
	k.sent++
	return 172, nil, nil
}

func join(t *testing.T, l *screen.Live, call string) *screen.LiveSession {
	t.Helper()
	s, err := l.Join(screen.Announced{Call: call, Legs: []string{"caller"}, Metadata: map[string]string{"queue": "payments"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A live call stores each leg segment by segment, and the end of the part after all segments.
func TestALiveCallIsWrittenDownInOrder(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, func(c *screen.LiveConfig) { c.Simulated = true })
	c := join(t, l, "a")
	own := map[store.PartKey]bool{}
	if l.Parts(own); len(own) != 1 || l.Call("a") != c.Call() || !own[c.Call().Begun().PartKey] {
		t.Errorf("%v", own)
	}
	if err := c.Record(t.Context(), "caller", &track{packets: 60 * 50}); err != nil {
		t.Fatal(err)
	}
	c.Leave(screen.HungUp)
	end := b.end(t)
	list := b.read()
	if first := list[0]; first.segment != nil || !first.part.EndedAt.IsZero() || first.part.Call != "a" || first.part.Node != "n1" ||
		first.part.Metadata["queue"] != "payments" ||
		!first.part.Simulated {
		t.Errorf("%+v", first)
	}
	var speech time.Duration
	seq := 0
	for i, e := range list {
		if e.part.PartKey != end.PartKey {
			t.Errorf("%+v is the key of another part", e.part.PartKey)
		}
		if e.segment == nil {
			continue
		}
		if e.segment.Seq != seq || e.segment.Leg != "caller" || i == len(list)-1 {
			t.Errorf("segment %d of leg %s is at position %d", e.segment.Seq, e.segment.Leg, i)
		}
		seq++
		speech += e.segment.SpeechDuration()
	}
	if seq < 3 || speech < 59*time.Second || speech > time.Minute {
		t.Errorf("%d segments, %v", seq, speech)
	}
	if len(end.Legs) != 1 || end.Legs[0].Leg != "caller" || end.Legs[0].Duration < 59*time.Second || end.Legs[0].Segments != seq ||
		end.How != "" {
		t.Errorf("%+v", end)
	}
	l.Close()
	if own := map[store.PartKey]bool{}; l.Call("a") != nil || func() int { l.Parts(own); return len(own) }() != 0 ||
		l.Totals().Packets.Received != 3000 ||
		l.Totals().Legs != 0 {
		t.Errorf("%v %+v", own, l.Totals())
	}
}

// A call continues while it has a leg. A leg that returns within the linger time joins the same call.
func TestACallEndsWithItsLastLeg(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, func(c *screen.LiveConfig) { c.Linger = time.Hour })
	c := join(t, l, "a")
	second := join(t, l, "a")
	if second.Call() != c.Call() {
		t.Fatal("the second leg joined another call")
	}
	c.Leave(screen.HungUp)
	c.Leave(screen.HungUp) // a second Leave has no effect
	second.Leave(screen.HungUp)
	third := join(t, l, "a") // within the hour
	if third.Call() != c.Call() {
		t.Error("the returning leg joined another call")
	}
	other := join(t, l, "b")
	if len(b.ended) != 0 {
		t.Error("the call ended although it has a leg")
	}
	l.EndAll()
	ended := map[store.PartKey]bool{b.end(t).PartKey: true, b.end(t).PartKey: true}
	if !ended[c.Call().Begun().PartKey] || !ended[other.Call().Begun().PartKey] {
		t.Errorf("%v", ended)
	}
	third.Leave(screen.Lost) // after the end it has no effect
	l.Close()
	if _, err := l.Join(screen.Announced{Call: "c", Legs: []string{"caller"}}); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Error(err)
	}
	if len(b.ended) != 0 {
		t.Error("the call ended twice")
	}
}

// A call waits longer for a leg whose connection was lost than for one that hung up.
func TestALostLegMayComeBack(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, func(c *screen.LiveConfig) { c.Grace = time.Hour })
	lost, hungUp := join(t, l, "lost"), join(t, l, "hung-up")
	lost.Leave(screen.Lost)
	hungUp.Leave(screen.HungUp)
	if p := b.end(t); p.Call != "hung-up" {
		t.Errorf("%+v", p)
	}
	if join(t, l, "lost").Call() != lost.Call() || len(b.ended) != 0 {
		t.Error("the call did not wait for the lost leg")
	}
}

// A call whose sender never connected does not wait for it as long as for one that was heard.
func TestACallWithoutAPacketDoesNotWaitForGrace(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, func(c *screen.LiveConfig) { c.Grace, c.Unheard = time.Hour, 10*time.Millisecond })
	s := join(t, l, "never")
	s.Leave(screen.Lost)
	if p := b.end(t); p.Call != "never" {
		t.Errorf("%+v", p)
	}
}

// A call that begins again with the same id is a new part. Its start is later, even within the same millisecond.
func TestACallThatIsCalledAgain(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, func(c *screen.LiveConfig) { c.Linger = time.Hour })
	seen := map[store.PartKey]bool{}
	last := int64(0)
	for range 20 {
		c := join(t, l, "a")
		key := c.Call().Begun().PartKey
		if seen[key] || key.Part <= last {
			t.Errorf("%+v after %d", key, last)
		}
		seen[key], last = true, key.Part
		l.EndAll() // the part may still be stored when the next one begins
	}
	l.Close()
	if len(b.ended) != 20 {
		t.Errorf("%d parts ended", len(b.ended))
	}
}

// If nothing can be stored, a call still ends, and the log reports the errors.
func TestALiveCallOfWhichNothingCanBeKept(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.fails = errors.New("the disk is full")
	var log bytes.Buffer
	l := newLive(t, b, func(c *screen.LiveConfig) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	c := join(t, l, "a")
	if err := c.Record(t.Context(), "caller", &track{packets: 20 * 50}); err != nil {
		t.Fatal(err)
	}
	c.Leave(screen.HungUp)
	b.end(t)
	l.Close()
	if n := strings.Count(log.String(), "level=ERROR"); n != len(b.read()) || n < 3 || !strings.Contains(log.String(), "the disk is full") {
		t.Errorf("%d of %d: %s", n, len(b.read()), log.String())
	}
}

// silent is a track without packets that blocks until it is closed.
type silent struct {
	track
	closed chan struct{}
}

func (s *silent) Read([]byte) (int, interceptor.Attributes, error) {
	<-s.closed
	return 0, nil, io.EOF
}

// A leg is stored as soon as it joins, before its first segment is cut. After a crash in between, the call is known to have an
// unanalysed leg.
func TestALegIsNotedAtOnce(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, nil)
	c := join(t, l, "a")
	k := &silent{closed: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- c.Record(t.Context(), "caller", k) }()
	noted := func() bool {
		for _, e := range b.read() {
			if len(e.part.Legs) == 1 && e.part.Legs[0].Leg == "caller" && e.part.EndedAt.IsZero() {
				return true
			}
		}
		return false
	}
	for end := time.Now().Add(patience); !noted(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the leg was not stored")
		}
	}
	close(k.closed)
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.Leave(screen.HungUp)
	b.end(t)
}
