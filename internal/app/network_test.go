package app_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// Packet loss, bursts and jitter reduce the received audio, but do not change the duration of the recording.
func TestABadNetworkDoesNotMoveTheTape(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	var all sync.WaitGroup
	for name, how := range map[string]publish.Impairment{
		"loss":   {Loss: 0.05},
		"bursts": {Loss: 0.05, Burst: 3},
		"jitter": {Jitter: 100 * time.Millisecond},
		"both":   {Loss: 0.02, Jitter: 60 * time.Millisecond},
	} {
		all.Go(func() {
			if sum, _ := s.play(t.Context(), demo.Human, name, "caller", 10, how); sum.Err() != nil {
				t.Errorf("%s: %v", name, sum.Err())
			}
		})
	}
	all.Wait()
	for _, name := range []string{"loss", "bursts", "jitter", "both"} {
		r := s.ended(name)
		// Packets that are lost before the first or behind the last, also while the handshake waits for a busy processor, are not on
		// the tape. It is as long as all others.
		got, packets := time.Duration(r.Duration), r.Legs[0].Ledger.Packets
		sent := time.Duration(packets.Sent) * 20 * time.Millisecond
		for _, span := range r.Legs[0].Ledger.Spans {
			sent -= max(time.Duration(span.End)-max(time.Duration(span.Start), got), 0)
		}
		if (got-sent).Abs() > 20*time.Millisecond || got > 10*time.Second || got < 9*time.Second {
			t.Errorf("%s: recorded %v of 10 s, %+v %+v", name, got, packets, r.Legs[0].Ledger.Spans)
		}
		if r.Decision != "clear" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// If the connection of a sender is lost during a segment, the recorded audio is decided after the grace time.
func TestASenderThatIsCutOff(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) { c.WebRTC.Grace = 300 * time.Millisecond })
	ctx, cut := context.WithTimeout(t.Context(), 6*time.Second)
	defer cut()
	s.play(ctx, demo.Human, "cut", "caller", 20, publish.Impairment{})
	r := s.ended("cut")
	if r.State != "ended" || r.Decision != "clear" || len(r.Segments) == 0 || r.Segments[0].State != "scored" {
		t.Errorf("%+v", r)
	}
}

// A leg that comes back within the grace time continues its call. The ledger shows the time without a sender.
func TestALegThatComesBackContinuesItsCall(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	s.play(t.Context(), demo.Human, "again", "caller", 5, publish.Impairment{})
	time.Sleep(time.Second) // less than the linger time of a call
	s.play(t.Context(), demo.Human, "again", "caller", 5, publish.Impairment{})
	r := s.ended("again")
	if got := time.Duration(r.Duration).Seconds(); got < 11 || got > 12.5 || r.Lost != 0 {
		t.Errorf("%v s, %v lost", got, time.Duration(r.Lost))
	}
	absent := time.Duration(0)
	for _, span := range r.Legs[0].Ledger.Spans {
		if span.Reason == "absent" {
			absent += time.Duration(span.End - span.Start)
		}
	}
	if absent < time.Second || absent > 3*time.Second {
		t.Errorf("without a sender for %v", absent)
	}
	if _, list := s.get("GET", "/api/v1/calls", ""); len(list["calls"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
}

// A network outage of 12 s does not end a call, although ICE reports the sender as disconnected. The recording has 12 s of
// silence that count as lost.
func TestABlackoutEndsNothing(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	start := time.Now()
	dark := func() bool { d := time.Since(start); return d > 5*time.Second && d < 17*time.Second }
	if sum, _ := s.play(t.Context(), demo.Human, "dark", "caller", 22, publish.Impairment{Blackout: dark}); sum.Err() != nil {
		t.Error(sum.Err())
	}
	r := s.ended("dark")
	if got := time.Duration(r.Duration).Seconds(); got < 21.9 || got > 22.1 {
		t.Errorf("recorded %v s of 22", got)
	}
	if got := time.Duration(r.Lost).Seconds(); got < 10.5 || got > 13 {
		t.Errorf("%v s count as lost, want 12 s", got)
	}
	// The lost audio exceeds policy.max_lost.
	if len(r.Segments) < 2 || r.Decision != "inconclusive" || !slices.Equal(r.Reasons, []string{"too_much_lost"}) {
		t.Errorf("%+v", r)
	}
}

// After a permanent network failure the session is lost, the call ends after the grace time, and the recorded audio is decided.
func TestANetworkThatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) { c.WebRTC.Grace = 500 * time.Millisecond })
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 42*time.Second)
	defer cancel()
	dark := func() bool { return time.Since(start) > 6*time.Second }
	media, err := publish.Opus(bytes.NewReader(demo.Human))
	if err != nil {
		t.Fatal(err)
	}
	long := publish.Media{Codec: media.Codec}
	for range 3 {
		long.Packets = append(long.Packets, media.Packets...)
	}
	sum, err := publish.Run(
		ctx,
		&long,
		&publish.Options{To: "http://" + s.app.Addr() + "/whip/gone/caller", Impairment: publish.Impairment{Blackout: dark}},
	)
	if err != nil || sum.Err() == nil {
		t.Errorf("the sender reported no error: %v %v", err, sum)
	}
	r := s.ended("gone")
	if r.State != "ended" || r.Decision != "inconclusive" || !slices.Contains(r.Reasons, "interrupted") ||
		len(r.Segments) == 0 || r.Segments[0].State != "scored" {
		t.Errorf("%+v", r)
	}
}

// A sender whose network fails, and who hangs up by a request that still arrives, as one that gives up before the sidecar does,
// leaves an interrupted leg. The call used to be clear, if the request came before ICE had failed.
func TestAHangUpAfterTheNetworkFailed(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	start := time.Now()
	dark := func() bool { return time.Since(start) > 6*time.Second }
	ctx, cancel := context.WithTimeout(t.Context(), 18*time.Second) // ICE takes 5 s to notice, and 30 s to give up
	defer cancel()
	media, err := publish.Opus(bytes.NewReader(demo.Human))
	if err != nil {
		t.Fatal(err)
	}
	to := "http://" + s.app.Addr() + "/whip/dark/caller"
	if _, err := publish.Run(ctx, media, &publish.Options{To: to, Impairment: publish.Impairment{Blackout: dark}}); err != nil {
		t.Error(err)
	}
	r := s.ended("dark")
	if r.Decision != "inconclusive" || !slices.Contains(r.Reasons, "interrupted") {
		t.Errorf("%s, %v", r.Decision, r.Reasons)
	}
}

// A call works over IPv6 alone.
func TestACallOverIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) { c.Listen = "[::1]:0" })
	if sum, media := s.play(t.Context(), demo.Human, "six", "caller", 6, publish.Impairment{}); sum.Err() != nil ||
		sum.Packets != int64(len(media.Packets)) {
		t.Errorf("%+v of %d packets", sum, len(media.Packets))
	}
	if r := s.ended("six"); r.Decision != "clear" || r.Lost != 0 {
		t.Errorf("%+v", r)
	}
}
