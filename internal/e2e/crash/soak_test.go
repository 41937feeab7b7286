package crash_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
)

// mayGrow is the permitted growth over the second half of a soak test, as a share of the mean. It allows for noise, but not for
// a leak that matters within a day.
const mayGrow = 0.10

// soakEvery is the time between two samples of the process.
const soakEvery = 5 * time.Second

// sample holds measurements of the process at one time.
type sample struct {
	at    time.Duration
	value [3]float64 // in the order of measured
}

var measured = [3]string{"goroutines", "file descriptors", "resident MB"}

// TestSoak runs the real sidecar with 100 legs that join and leave all the time. It fails if the goroutines, file descriptors or
// memory grow. Run it with make soak.
func TestSoak(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv("CALLSCREEN_SOAK"))
	if err != nil || lasts <= 0 {
		t.Skip("set CALLSCREEN_SOAK=20m, or make soak")
	}
	w := newWorld(t, "", simulator.Script{Latency: 500 * time.Millisecond})
	n := w.node(temp(t), "CALLSCREEN_SEGMENT_FIRST_SPEECH=4s", "CALLSCREEN_SEGMENT_TARGET_SPEECH=10s", "CALLSCREEN_SEGMENT_MAX_DURATION=30s")
	n.start()
	p := w.publishers(100, func() string { return n.addr })
	var samples []sample
	start, tick := time.Now(), time.NewTicker(soakEvery)
	defer tick.Stop()
	for time.Since(start) < lasts {
		<-tick.C
		s := sample{at: time.Since(start), value: [3]float64{goroutines(t, n), descriptors(t, n), resident(t, n)}}
		samples = append(samples, s)
		if len(samples)%12 == 0 {
			t.Logf("%5.1f min: %.0f goroutines, %.0f file descriptors, %.1f MB", s.at.Minutes(), s.value[0], s.value[1], s.value[2])
		}
	}
	p.cut()
	p.stop()
	if len(samples) < 12 {
		t.Fatalf("only %d samples, too few for a trend (hint: set CALLSCREEN_SOAK to at least 2m)", len(samples))
	}
	half := samples[len(samples)/2:]
	span := (half[len(half)-1].at - half[0].at).Minutes()
	for what, name := range measured {
		slope, mean := line(half, what)
		share := slope * span / mean
		t.Logf("%-16s %+.3f a minute over the last %.1f min, mean %.1f: growth %+.1f %%", name, slope, span, mean, 100*share)
		if share > mayGrow {
			t.Errorf("%s: growth of %.1f %%, more than %.0f %%", name, 100*share, 100*mayGrow)
		}
	}
	calls := w.count(n, "SELECT COUNT(*) FROM call")
	t.Logf("%d calls in %.1f min", calls, lasts.Minutes())
	if float64(calls) < 100*lasts.Minutes() {
		t.Error("too few calls: the legs did not join and leave")
	}
	if lines := n.tail(); strings.Contains(lines, `"ERROR"`) {
		t.Error(lines)
	}
	n.end(syscall.SIGTERM)
}

// line fits a straight line through the samples by least squares. It returns the slope a minute and the mean.
func line(samples []sample, what int) (slope, mean float64) {
	var at float64
	for _, s := range samples {
		at += s.at.Minutes() / float64(len(samples))
		mean += s.value[what] / float64(len(samples))
	}
	var xy, xx float64
	for _, s := range samples {
		x := s.at.Minutes() - at
		xy += x * (s.value[what] - mean)
		xx += x * x
	}
	return xy / xx, mean
}

func TestLineFindsTheSlope(t *testing.T) {
	var samples []sample
	for i := range 20 {
		noise := float64(i%2) - 0.5
		samples = append(samples, sample{at: time.Duration(i) * 30 * time.Second, value: [3]float64{100 + float64(i) + noise}})
	}
	if slope, mean := line(samples, 0); slope < 1.9 || slope > 2.1 || mean != 109.5 {
		t.Errorf("slope %v, mean %v", slope, mean)
	}
}

func goroutines(t *testing.T, n *node) float64 {
	t.Helper()
	text, err := get(t.Context(), "http://"+n.addr+"/metrics")
	for tries := 0; err != nil && tries < 5; tries++ { // a busy machine may delay a response
		text, err = get(t.Context(), "http://"+n.addr+"/metrics")
	}
	if err != nil {
		t.Fatal(err, n.tail())
	}
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(l, "go_goroutines "); ok {
			return number(t, rest)
		}
	}
	t.Fatal("/metrics has no go_goroutines")
	return 0
}

func descriptors(t *testing.T, n *node) float64 {
	t.Helper()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return float64(len(names))
}

// resident returns the resident memory of the process without mapped files.
func resident(t *testing.T, n *node) float64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.cmd.Process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(l, "RssAnon:"); ok {
			return number(t, strings.TrimSuffix(strings.TrimSpace(rest), "kB")) / 1000
		}
	}
	t.Fatal("/proc does not report the size of the process")
	return 0
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
