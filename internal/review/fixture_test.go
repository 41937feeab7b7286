package review_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/encode"
	"callscreen/internal/audio"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/report"
	"callscreen/internal/review"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// office is a review server with its own database.
type office struct {
	t      testing.TB
	url    string
	store  *store.Store
	desk   *screen.Decider
	audio  audio.Store
	server *review.Server
	now    time.Time
}

// begun is the start of the test calls.
var begun = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tokens are the tokens of the tests, by role.
var tokens = auth.Tokens{"ingest": "in", "reviewer": "anna", "admin": "root"}

func hashOf(token string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(token))) }

func newOffice(t testing.TB, change func(*review.Config)) *office {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Options{Dir: dir, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	return openOffice(t, db, dir, change)
}

// openOffice returns an office on a database, which it closes at the end of the test.
func openOffice(t testing.TB, db *store.Store, dir string, change func(*review.Config)) *office {
	t.Helper()
	o := &office{t: t, store: db, now: begun.Add(time.Hour)}
	folder, err := audio.NewFolder(filepath.Join(dir, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	o.audio = folder
	c := config.Default()
	c.Auth.Tokens = []config.Token{
		{Name: "bob", Roles: []string{"reviewer"}, SHA256: hashOf("bob")},
		{Name: "vera", Roles: []string{"viewer"}, SHA256: hashOf("vera")},
	}
	a, err := auth.New(c, tokens)
	if err != nil {
		t.Fatal(err)
	}
	cfg := review.Config{
		Store:   db,
		Audio:   folder,
		Board:   review.NewBoard(),
		Require: a.Require,
		Now:     func() time.Time { return o.now },
		Begun:   func(string) (report.CallReport, bool) { return report.CallReport{}, false },
		Log:     slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	o.desk = screen.NewDecider(screen.DeciderConfig{
		Store:     db,
		Policy:    policy.Default(),
		OnCommit:  cfg.Board.Changed,
		Now:       func() time.Time { return o.now },
		KeepAudio: map[string]time.Duration{"flagged": time.Hour},
	})
	cfg.Decider = o.desk
	o.server, err = review.NewServer(cfg)
	o.must(err)
	mux := http.NewServeMux()
	o.server.Register(mux, mux)
	web := httptest.NewServer(review.Headers(mux))
	o.url = web.URL
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		web.Close()
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// reply holds the relevant headers of an answer.
type reply struct {
	StatusCode int
	Header     http.Header
}

// do sends a request and returns its answer, the JSON in it, and the whole body.
func (o *office) do(method, path, token, body string, headers ...string) (reply, map[string]any, string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, o.url+path, strings.NewReader(body))
	o.must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	o.must(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	o.must(err)
	var v map[string]any
	_ = json.Unmarshal(data, &v) // not every answer is JSON
	return reply{resp.StatusCode, resp.Header}, v, string(data)
}

// part returns the part of a test call.
func part(call string) store.Part {
	return store.Part{PartKey: store.PartKey{Call: call, Part: begun.UnixMilli(), Node: "n"}, Metadata: map[string]string{"queue": "payments"}}
}

// say adds a segment with a tone as audio to a call, and settles it with a score.
func (o *office) say(call, leg string, seq int, at, took time.Duration, score float64) store.SegmentRow {
	o.t.Helper()
	ctx := o.t.Context()
	const rate = 16000
	pcm := make([]int16, int(took.Seconds()*rate))
	for i := range pcm {
		pcm[i] = int16(16384 * math.Sin(2*math.Pi*float64(100*(seq+1))*float64(i)/rate))
	}
	file := filepath.Join(o.t.TempDir(), "a.wav")
	f, err := os.Create(file)
	o.must(err)
	o.must(encode.WriteWAV(f, rate, pcm))
	o.must(f.Close())
	data, err := os.ReadFile(file)
	o.must(err)
	sum := sha256.Sum256(data)
	g := store.SegmentRow{
		ID:          call + "-" + leg + "-" + string(rune('a'+seq)),
		PartKey:     part(call).PartKey,
		Leg:         leg,
		Seq:         seq,
		Offset:      at,
		Duration:    took,
		Speech:      took * 3 / 4,
		RecordedAt:  begun.Add(at + took),
		Rate:        rate,
		Voiced:      [][2]int64{{0, int64(len(pcm)) * 3 / 4}},
		State:       store.SegmentRecorded,
		AudioKey:    "k/" + leg + string(rune('a'+seq)) + ".wav",
		AudioSHA256: hex.EncodeToString(sum[:]),
		AudioBytes:  int64(len(data)),
	}
	if strings.ContainsAny(g.ID, "/<> ") { // a call of an odd name
		g.ID = "odd-" + leg + "-" + string(rune('a'+seq))
	}
	o.must(o.audio.Put(ctx, g.AudioKey, file))
	o.must(o.desk.Recorded(ctx, part(call), g))
	if score >= 0 {
		o.must(o.desk.Settle(ctx, g, store.Settlement{
			State:     store.SegmentScored,
			Score:     &score,
			Verdict:   "v",
			Simulated: true,
			At:        o.now,
		}, nil))
	} else {
		o.must(o.desk.Settle(ctx, g, store.Settlement{
			State:  store.SegmentFailed,
			Reason: "timeout",
			Detail: "job 1 is not finished",
			At:     o.now,
		}, nil))
	}
	return g
}

// skip adds a skipped segment.
func (o *office) skip(call, leg string, seq int, at, took time.Duration, why string) {
	o.t.Helper()
	o.must(o.desk.Recorded(o.t.Context(), part(call), store.SegmentRow{
		ID:         call + "-" + leg + "-s",
		PartKey:    part(call).PartKey,
		Leg:        leg,
		Seq:        seq,
		Offset:     at,
		Duration:   took,
		RecordedAt: begun,
		Rate:       16000,
		State:      store.SegmentSkipped,
		Reason:     why,
	}))
}

// hangUp ends a call.
func (o *office) hangUp(call string, took time.Duration, legs ...string) {
	o.t.Helper()
	p := part(call)
	p.EndedAt = begun.Add(took)
	for _, l := range legs {
		p.Legs = append(p.Legs, store.LegProgress{PartKey: p.PartKey, Leg: l, Duration: took, Lost: 400 * time.Millisecond})
	}
	o.must(o.desk.Progress(o.t.Context(), p))
}

// flagged creates a call that waits for review, with a caller over the threshold and an agent below it.
func (o *office) flagged(call string) {
	o.t.Helper()
	o.say(call, "caller", 0, 2*time.Second, 8*time.Second, 0.31)
	o.say(call, "caller", 1, 12*time.Second, 6*time.Second, 0.93)
	o.say(call, "agent", 0, 20*time.Second, 5*time.Second, 0.04)
	o.skip(call, "agent", 1, 26*time.Second, 3*time.Second, "music")
	o.hangUp(call, 30*time.Second, "caller", "agent")
}
