package peers_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/capture"
	"callscreen/internal/whip/whiptest"
)

// need skips, or fails where everything must be there.
func need(t *testing.T, what string, ok bool) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1":
		t.Fatalf("%s is not installed (hint: .ci/run installs it)", what)
	default:
		t.Skipf("%s is not installed", what)
	}
}

const source = "../../../testdata/audio/human.wav"

// debianPython has Debian's packages, which no other Python of a machine has.
const debianPython = "/usr/bin/python3"

// record lets a peer publish, and compares what was recorded with what it played.
func record(
	t *testing.T,
	red bool,
	seconds float64,
	publish func(ctx context.Context, web, url string) *exec.Cmd,
) (*whiptest.Studio, map[string]any) {
	t.Helper()
	s := whiptest.New(t, red)
	s.Web.Handle("/", http.FileServer(http.Dir("testdata")))
	s.Web.Handle("/softphone/", http.StripPrefix("/softphone/", http.FileServer(http.Dir("../../../docs/examples/softphone"))))
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := publish(ctx, s.URL, s.URL+"/whip/call/caller")
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, problem.String())
	}
	var said map[string]any
	if err := json.Unmarshal(out, &said); err != nil || said["status"] != 200.0 {
		t.Errorf("the peer said %s", out)
	}
	if lost := <-s.Closed; lost {
		t.Error("the session counts as lost, in spite of its DELETE")
	}
	pcm, _, stats := s.Recorded()
	if got := float64(len(pcm)) / 16000; got < seconds-0.5 || got > seconds+2.5 {
		t.Errorf("recorded %.2f s of %.0f", got, seconds)
	}
	if stats.Missing > 0 || stats.Undecoded > 0 || stats.Malformed > 0 {
		t.Errorf("%+v", stats)
	}
	compare(t, pcm)
	return s, said
}

// compare finds the place of the recording in what was played, and wants each second to be there, at the same lag.
func compare(t *testing.T, recorded []int16) {
	t.Helper()
	data, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	played := make([]int16, (len(data)-44)/2)
	for i := range played {
		played[i] = int16(binary.LittleEndian.Uint16(data[44+2*i:]))
	}
	const rate, coarse = 16000, 8
	low := func(pcm []int16) (out []int16) { // 2 kHz is enough to find the place
		for i := 0; i+coarse <= len(pcm); i += coarse {
			sum := 0
			for _, x := range pcm[i : i+coarse] {
				sum += int(x)
			}
			out = append(out, int16(sum/coarse))
		}
		return out
	}
	// Three seconds from the middle of the recording.
	from := len(recorded) / 2 / coarse * coarse
	lag := coarse * search(low(recorded[from:from+3*rate]), low(played), 0, len(played)/coarse)
	lag = search(recorded[from:from+rate], played, max(lag-20, 0), lag+20) - from
	checked, sum := 0, 0.0
	for at := rate; at+rate <= len(recorded); at += rate {
		if at+lag < 0 || at+lag+rate > len(played) {
			continue
		}
		a, b := recorded[at:at+rate], played[at+lag:at+lag+rate]
		if level(b) < 200*200 {
			continue // a pause
		}
		// Half a sample of lag turns the phase of the highest tones, not of the speech that is compared here.
		c := correlation(low(a), low(b))
		sum += c
		checked++
		if c < 0.5 {
			t.Errorf("second %d correlates by %.2f with what was played", at/rate, c)
		}
	}
	if checked < 5 || sum/float64(checked) < 0.7 {
		t.Errorf("%d seconds correlate by %.2f in the mean", checked, sum/float64(checked))
	}
	t.Logf(
		"%.2f s recorded, lag constant, mean correlation %.3f over %d seconds of speech",
		float64(len(recorded))/rate,
		sum/float64(checked),
		checked,
	)
}

// search is the place in b at which a correlates best.
func search(a, b []int16, from, to int) (best int) {
	top := -1.0
	for lag := from; lag < to && lag+len(a) <= len(b); lag++ {
		if c := correlation(a, b[lag:lag+len(a)]); c > top {
			best, top = lag, c
		}
	}
	return best
}

func correlation(a, b []int16) float64 {
	var ab, aa, bb float64
	for i, x := range a {
		y := float64(b[i])
		ab += float64(x) * y
		aa += float64(x) * float64(x)
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

func stats(s *whiptest.Studio) capture.Stats {
	_, _, stats := s.Recorded()
	return stats
}

func level(a []int16) (sum float64) {
	for _, x := range a {
		sum += float64(x) * float64(x)
	}
	return sum / float64(len(a))
}

func TestChromium(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	browser := os.Getenv("CHROMIUM")
	if browser == "" {
		browser = "/usr/bin/chromium"
	}
	_, err := os.Stat(browser)
	need(t, browser, err == nil)
	_, err = exec.LookPath("node")
	need(t, "node", err == nil)
	_, err = os.Stat("node_modules/playwright-core")
	need(t, "playwright-core (npm install --no-save --no-package-lock --prefix internal/e2e/peers playwright-core)", err == nil)
	file, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, page, mode string
		red              bool
	}{{"plain", "/whip.html", "plain", false}, {"trickle", "/whip.html", "trickle", false}, {"RED", "/whip.html", "plain", true},
		{"the softphone of the documents", "/softphone/", "plain", false}} {
		t.Run(c.name, func(t *testing.T) {
			s, said := record(t, c.red, 10, func(ctx context.Context, web, url string) *exec.Cmd {
				cmd := exec.CommandContext(ctx, "node", "testdata/chromium.js", web+c.page, url, file, "10", c.mode)
				cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "CHROMIUM="+browser)
				return cmd
			})
			t.Logf("track %v, the browser says %v, %+v", s.Codecs(), said["codec"], stats(s))
			if c.red != strings.EqualFold(s.Codecs()[0], "audio/red") {
				t.Errorf("the track is %v", s.Codecs())
			}
		})
	}
}

func TestAiortc(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	need(t, "python3-aiortc", exec.Command(debianPython, "-c", "import aiortc").Run() == nil)
	t.Parallel()
	file, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := record(t, false, 10, func(ctx context.Context, _, url string) *exec.Cmd {
		return exec.CommandContext(ctx, debianPython, "testdata/aiortc_publish.py", url, file, "10")
	})
	t.Logf("track %v, %+v", s.Codecs(), stats(s))
}
