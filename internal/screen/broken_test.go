package screen_test

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

// legOf returns a leg of a part.
func legOf(t *testing.T, p store.Part, name string) store.LegProgress {
	t.Helper()
	for _, l := range p.Legs {
		if l.Leg == name {
			return l
		}
	}
	t.Fatalf("part %d has no leg %s", p.Part, name)
	return store.LegProgress{}
}

// Known fault: the connection of a leg broke, its sender announced itself again, never sent a packet, and hung up. The leg
// was not interrupted.
func TestALegThatIsOnlyAnnouncedAgainIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, comesBack := range []bool{false, true} {
		b := newBook()
		l := newLive(t, b, func(c *screen.LiveConfig) { c.Grace = time.Hour })
		first := join(t, l, "a")
		if err := first.Record(t.Context(), "caller", &track{packets: 500}); err != nil {
			t.Fatal(err)
		}
		first.Leave(screen.Lost)
		second := join(t, l, "a")
		if comesBack {
			if err := second.Record(t.Context(), "caller", &track{packets: 500}); err != nil {
				t.Fatal(err)
			}
		}
		second.Leave(screen.HungUp)
		if got := legOf(t, b.end(t), "caller").Ledger.Interrupted; got == comesBack {
			t.Errorf("came back: %v, interrupted: %v", comesBack, got)
		}
	}
}

// Known fault: a session with two legs was taken over on one of them. The session ended, and the other leg, whose sender had
// not hung up, was not interrupted.
func TestALegThatEndsWithATakeOverOfAnotherIsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, nil)
	both, err := l.Join(screen.Announced{Call: "a", Legs: []string{"caller", "agent"}})
	if err != nil {
		t.Fatal(err)
	}
	open := &silent{closed: make(chan struct{})}
	taken := make(chan error, 1)
	go func() { taken <- both.Record(t.Context(), "caller", open) }()
	if err := both.Record(t.Context(), "agent", &track{packets: 500}); err != nil {
		t.Fatal(err)
	}
	for !l.Call("a").Recorder().Stats()["caller"].Recording {
		time.Sleep(time.Millisecond)
	}
	mono := join(t, l, "a")
	if err := mono.Record(t.Context(), "caller", &track{packets: 500}); err != nil {
		t.Fatal(err)
	}
	close(open.closed)
	<-taken
	both.Leave(screen.HungUp)
	mono.Leave(screen.HungUp)
	p := b.end(t)
	if legOf(t, p, "caller").Ledger.Interrupted || !legOf(t, p, "agent").Ledger.Interrupted {
		t.Errorf("caller interrupted: %v, agent: %v", legOf(t, p, "caller").Ledger.Interrupted, legOf(t, p, "agent").Ledger.Interrupted)
	}
}

// opaque is a track in a codec that has no decoder.
type opaque struct{ track }

func (*opaque) Codec() webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		PayloadType:        18,
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/G729", ClockRate: 8000},
	}
}

// Known fault: a leg went on in a codec that has no decoder. Its packets were in no ledger.
func TestPacketsOfATrackWithoutADecoderAreBooked(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, nil)
	first := join(t, l, "a")
	if err := first.Record(t.Context(), "caller", &track{packets: 500}); err != nil {
		t.Fatal(err)
	}
	if err := first.Record(t.Context(), "caller", &opaque{track{packets: 400}}); err == nil {
		t.Error("no error")
	}
	first.Leave(screen.HungUp)
	ledger := legOf(t, b.end(t), "caller").Ledger
	if got := ledger.Packets.Unrecorded[string(capture.UnrecordedCodec)]; got != 400 {
		t.Errorf("%d packets are booked: %+v", got, ledger)
	}
	if err := ledger.Check(); err != nil {
		t.Error(err)
	}
}

// Known fault: the database was away. A progress in the place of an older one was delivered before a segment that was cut
// earlier, and the legs of the segment replaced those of the progress.
func TestASegmentDoesNotTakeBackALaterProgress(t *testing.T) {
	t.Parallel()
	c := newClerk(t, storetest.SQLite(t, t.TempDir()), policy.Default())
	p := partAt("a", "n1", 60)
	leg := func(interrupted bool) []store.LegProgress {
		return []store.LegProgress{{Leg: "caller", Duration: 6 * time.Second, Ledger: &report.Ledger{
			Recorded:    report.Seconds(6 * time.Second),
			Interrupted: interrupted,
		}}}
	}
	late := p
	late.Legs = leg(true)
	c.progress(late)
	early := p
	early.Legs = leg(false)
	c.recorded(early, stored(p, "caller", 0))
	late.EndedAt = noon
	late.Legs = nil
	c.progress(late)
	c.settle(stored(p, "caller", 0), settlement(0.1))
	if got := c.call("a"); got.Published != "inconclusive" {
		t.Errorf("%s: %v", got.Published, c.report("a").Reasons)
	}
}
