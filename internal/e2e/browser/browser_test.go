package browser_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/demo"
	"callscreen/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// need skips the test if a program is missing, or fails it where all programs are required.
func need(t *testing.T, what string, ok bool) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1":
		t.Fatalf("%s is not installed (hint: .ci/run installs it)", what)
	default:
		t.Skipf("%s is not installed (hint: make browser)", what)
	}
}

// secrets holds the tokens of the sender and the two reviewers.
var secrets = map[string]string{"pbx": "the-token-of-the-pbx", "anna": "the-token-of-anna", "bob": "the-token-of-bob"}

const configuration = `
listen: 127.0.0.1:0
data_dir: %s
webrtc: {udp_port: 0, tcp_port: 0}
analysis: {poll_initial: 100ms, poll_max: 200ms}
auth:
  tokens:
    - {name: pbx, roles: [ingest], sha256: %s}
    - {name: anna, roles: [reviewer], sha256: %s}
    - {name: bob, roles: [reviewer], sha256: %s}
`

// script makes long segments of the human voice fail, so that the page shows a segment without analysis.
const script = `
latency: 300ms
rules:
  - match: {marker: false, longer: 12s}
    result: {failed: true, error_code: internal, message: "out of memory"}
`

func hash(secret string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(secret))) }

var address = regexp.MustCompile(`http=(http://[0-9.:]+)`)

// serve starts the program on a folder and returns its address.
func serve(t *testing.T, program, dir string) string {
	t.Helper()
	file, data, stand := filepath.Join(dir, "callscreen.yaml"), filepath.Join(dir, "data"), filepath.Join(dir, "script.yaml")
	for name, text := range map[string]string{
		file:  fmt.Sprintf(configuration, data, hash(secrets["pbx"]), hash(secrets["anna"]), hash(secrets["bob"])),
		stand: script,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "serve", "--simulate", "--script", stand, "--config", file)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, said := make(chan string, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		lines := bufio.NewScanner(io.TeeReader(out, &all))
		for lines.Scan() {
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
		said <- all.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // the process may have ended already
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		log := <-said
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v", err)
		}
		if t.Failed() {
			t.Log(log)
		}
		for line := range strings.Lines(log) {
			if strings.Contains(line, "level=ERROR") {
				t.Error(line)
			}
		}
	})
	select {
	case url := <-found:
		return url
	case <-time.After(20 * time.Second):
		t.Fatal("serve did not start")
	}
	return ""
}

// fill creates a database with a number of calls that wait for review.
func fill(t *testing.T, dir string, calls int) {
	t.Helper()
	ctx, data := t.Context(), filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(ctx, store.Options{Dir: data, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.InTx(ctx, func(tx *store.Tx) error {
		for i := range calls {
			id, at := fmt.Sprintf("call-%05d", i), time.Now().Add(-time.Duration(i)*time.Minute)
			part := store.Part{
				PartKey:  store.PartKey{Call: id, Part: at.UnixMilli(), Node: "n"},
				Metadata: map[string]string{"queue": "payments", "from": fmt.Sprintf("+49301%06d", i)},
			}
			c, err := tx.Begin(ctx, part)
			if err != nil {
				return err
			}
			part.EndedAt = at.Add(30 * time.Second)
			if err := tx.Progress(ctx, &c, part); err != nil {
				return err
			}
			score := 0.93
			c.State, c.EndedAt, c.DecidedAt = store.CallEnded, part.EndedAt, part.EndedAt
			c.Decision, c.Published, c.Final, c.Review, c.Score = "flagged", "flagged", true, true, &score
			c.Summary = []byte(
				`{"call":"` + id + `","decision":"flagged","review":true,"score":0.93,"threshold":0.6,` +
					`"reasons":["score_over_threshold"],"duration_seconds":30,"speech_seconds":22,"analysed_seconds":22,` +
					`"legs":[{"leg":"caller","decision":"flagged","score":0.93,"threshold":0.6}]}`,
			)
			if err := tx.SaveCall(ctx, &c); err != nil {
				return err
			}
			if err := tx.OpenReview(ctx, id, part.EndedAt); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// checkPicture checks that the picture of the README was written and is small enough for the repository.
func checkPicture(t *testing.T, file string) {
	t.Helper()
	const limit = 200_000 // bytes
	if file == "" {
		return
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 || info.Size() >= limit {
		t.Errorf("%s is not a picture smaller than %d bytes: %v %v", file, limit, info, err)
	}
}

// A call appears in the list of open calls and is flagged. A reviewer opens it with the keyboard, plays the flagged segment and
// closes the review. A stale edit of another reviewer is refused. No request leaves the origin, and axe finds no serious
// problem on any page.
func TestTheStoryOfACall(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute and a half")
	}
	browser := os.Getenv("CHROMIUM")
	if browser == "" {
		browser = "/usr/bin/chromium"
	}
	_, err := os.Stat(browser)
	need(t, browser, err == nil)
	_, err = exec.LookPath("node")
	need(t, "node", err == nil)
	for _, module := range []string{"playwright-core", "axe-core"} {
		_, err = os.Stat(filepath.Join("node_modules", module))
		need(t, module, err == nil)
	}
	shots, err := filepath.Abs("../../../out/browser")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "callscreen")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "callscreen/cmd/callscreen")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	silent, err := filepath.Abs("../../../testdata/audio/ringback.wav")
	if err != nil {
		t.Fatal(err)
	}
	one, many := filepath.Join(dir, "one"), filepath.Join(dir, "many")
	for _, d := range []string{one, many, shots} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, voice := range map[string][]byte{"synthetic.opus": demo.Synthetic, "human.opus": demo.Human} {
		if err := os.WriteFile(filepath.Join(dir, name), voice, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, many, 10_000)
	fillLedger(t, many)
	base := serve(t, program, one)
	story, err := json.Marshal(map[string]any{
		"base":      base,
		"plain":     strings.Replace(base, "127.0.0.1", "calls.test", 1),
		"many":      serve(t, program, many),
		"program":   program,
		"tokens":    secrets,
		"data":      filepath.Join(one, "data"),
		"shots":     shots,
		"synthetic": filepath.Join(dir, "synthetic.opus"),
		"human":     filepath.Join(dir, "human.opus"),
		"silent":    silent,
		"picture":   os.Getenv("CALLSCREEN_PICTURE"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "testdata/story.js")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "CHROMIUM="+browser, "STORY="+string(story))
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	var seen struct {
		OK                 bool
		Problem            string
		Pages              []string
		Strangers, Console []string
		Violations         []struct {
			Page, Shade, ID, Impact, Help string
			Nodes                         []string
		}
		Stale         int
		ArrivedMS     int `json:"arrived_ms"`
		FlaggedMS     int `json:"flagged_ms"`
		FirstPaintMS  int `json:"first_paint_ms"`
		Many          string
		ComparedBytes int `json:"compared_bytes"`
		Played        map[string]any
	}
	if e := json.Unmarshal(out, &seen); e != nil {
		t.Fatalf("%v %v\n%s\n%s", err, e, out, problems.String())
	}
	if err != nil || !seen.OK {
		t.Errorf("%v: %s", err, seen.Problem)
	}
	checkPicture(t, os.Getenv("CALLSCREEN_PICTURE"))
	for _, s := range seen.Strangers {
		t.Errorf("a request left the origin: %s", s)
	}
	for _, c := range seen.Console {
		t.Errorf("message in the browser console: %s", c)
	}
	for _, v := range seen.Violations {
		line := fmt.Sprintf("%s, %s: %s (%s): %s %q", v.Page, v.Shade, v.ID, v.Impact, v.Help, v.Nodes)
		if v.Impact == "serious" || v.Impact == "critical" {
			t.Error(line)
		} else {
			t.Log(line)
		}
	}
	t.Logf(
		"the call was in the list after %d ms, flagged there after %d ms; played %v, %d bytes compared; pages %v",
		seen.ArrivedMS,
		seen.FlaggedMS,
		seen.Played,
		seen.ComparedBytes,
		seen.Pages,
	)
	t.Logf("first paint of a list with %s waiting calls: %d ms", seen.Many, seen.FirstPaintMS)
}
