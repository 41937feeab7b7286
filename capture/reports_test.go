package capture

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// A first report that overtakes packets on a busy machine does not make them lost: the next report shows that they arrived.
// Packets that were lost before the first one stay counted, however the delay of the others varies.
func TestAReportThatOvertakesPackets(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_780_000_000, 0)
	for name, c := range map[string]struct {
		lost  int64   // before the first packet that arrived
		under []int64 // packets under way at each report
		head  int64
	}{
		"in step":                   {0, []int64{0, 0, 0}, 0},
		"first overtakes":           {0, []int64{40, 0, 0}, 0},
		"first overtakes a little":  {0, []int64{6, 2, 6}, 0},
		"later ones overtake":       {0, []int64{0, 30, 0}, 0},
		"lost":                      {50, []int64{0, 0, 0}, 45},
		"lost, first overtakes":     {50, []int64{40, 0, 0}, 45},
		"lost, later ones overtake": {50, []int64{0, 30, 0, 60, 0}, 45},
		"lost, all overtake":        {50, []int64{20, 10, 30}, 55},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := source{opened: start.Add(-10 * time.Second), first: start, clock: 48000}
			s.show(1)
			arrived, sent := int64(1), c.lost+1
			for _, under := range c.under {
				sent += 100
				n := sent - c.lost - under - arrived
				s.show(n)
				arrived += n
				s.report(&rtcp.SenderReport{PacketCount: uint32(sent)}, start.Add(time.Second))
			}
			if s.reported() != c.head {
				t.Errorf("%d packets lost, want %d", s.reported(), c.head)
			}
		})
	}
}

// A sender that restarts its count takes nothing back.
func TestASenderThatRestartsItsCountTakesNothingBack(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_780_000_000, 0)
	s := source{opened: start.Add(-10 * time.Second), first: start, clock: 48000}
	s.show(1000)
	s.report(&rtcp.SenderReport{PacketCount: 1050}, start)
	s.show(10)
	s.report(&rtcp.SenderReport{PacketCount: 10}, start)
	if s.reported() != 45 {
		t.Errorf("%d packets lost, want 45", s.reported())
	}
}
