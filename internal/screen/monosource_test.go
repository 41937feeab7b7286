package screen_test

import (
	"testing"

	"callscreen/internal/screen"
)

// A stereo track whose channels are the same is analysed once, and both legs are accounted for.
func TestATrackWithTwoEqualChannelsIsPaidForOnce(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, nil)
	s, err := l.Join(screen.Announced{Call: "a", Legs: []string{"caller", "agent"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, leg := range []string{"caller", "agent"} {
		if err := s.Record(t.Context(), leg, &track{packets: 30 * 50}); err != nil {
			t.Fatal(err)
		}
	}
	s.Leave(screen.HungUp)
	end := b.end(t)
	kept, skipped := 0, 0
	for _, e := range b.read() {
		switch {
		case e.segment == nil:
		case e.segment.Skipped == screen.ReasonMonoSource:
			skipped++
		case e.segment.PCM != nil:
			kept++
		}
	}
	if kept == 0 || kept != skipped || len(end.Warnings) != 1 {
		t.Errorf("%d segments analysed, %d skipped, %q", kept, skipped, end.Warnings)
	}
}
