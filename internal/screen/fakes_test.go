package screen_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/capture"
	closets "callscreen/internal/audio"
)

// clock returns the time of the machine plus an adjustable offset.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// piece returns a segment of 4 s of speech.
func piece(leg string, seq int) capture.LegSegment {
	const rate, samples = 16000, 64000
	pcm := make([]int16, samples)
	for i := range pcm {
		pcm[i] = int16(i*(seq+3)*7 + len(leg)*31)
	}
	begin := int64(seq) * samples
	return capture.LegSegment{Leg: leg, Segment: capture.Segment{
		Seq:    seq,
		Rate:   rate,
		Span:   capture.Span{Start: begin, End: begin + samples},
		PCM:    pcm,
		Speech: samples,
		Voiced: []capture.Span{{Start: begin + 1600, End: begin + 48000}},
	}}
}

// silence returns a segment that was skipped.
func silence(leg string, seq int) capture.LegSegment {
	s := piece(leg, seq)
	s.PCM, s.Speech, s.Voiced, s.Skipped = nil, 0, nil, "too_little_speech"
	return s
}

// closet is an audio store that can fail.
type closet struct {
	closets.Store
	mu    sync.Mutex
	fails error
	stays string // a key that cannot be deleted
	keep  string // prefix of keys that cannot be deleted because of kept
	kept  error
	tries int // deletions that were refused so
	puts  map[string]int
}

func (c *closet) stuck(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stays = key
}

// errHangs makes a deletion wait for the end of its context.
var errHangs = errors.New("the audio store hangs")

// refuse refuses the deletion of keys with a prefix.
func (c *closet) refuse(prefix string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep, c.kept = prefix, err
}

// refused returns the number of refused deletions.
func (c *closet) refused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tries
}

func (c *closet) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails = err
}

func (c *closet) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fails
}

func (c *closet) Put(ctx context.Context, key, file string) error {
	if err := c.failure(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.puts == nil {
		c.puts = map[string]int{}
	}
	c.puts[key]++
	c.mu.Unlock()
	return c.Store.Put(ctx, key, file)
}

func (c *closet) Open(ctx context.Context, key string) (closets.Object, int64, error) {
	if err := c.failure(); err != nil {
		return nil, 0, err
	}
	return c.Store.Open(ctx, key)
}

func (c *closet) Delete(ctx context.Context, key string) error {
	if err := c.failure(); err != nil {
		return err
	}
	c.mu.Lock()
	stays, kept := c.stays, c.kept
	if kept != nil && strings.HasPrefix(key, c.keep) {
		c.tries++
		c.mu.Unlock()
		if errors.Is(kept, errHangs) {
			<-ctx.Done()
			return ctx.Err()
		}
		return kept
	}
	c.mu.Unlock()
	if key == stays {
		return fmt.Errorf("%s cannot be deleted", key)
	}
	return c.Store.Delete(ctx, key)
}

// has reports whether the store holds audio under a key.
func (c *closet) has(t testing.TB, key string) bool {
	t.Helper()
	o, _, err := c.Store.Open(context.Background(), key)
	if errors.Is(err, closets.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return o.Close() == nil
}

// api is a scripted analysis API. By default each upload becomes a job of its own with a low score.
type api struct {
	mu      sync.Mutex
	uploads []string // hashes of what was uploaded
	polls   map[string]int
	// submit and wait, if set, return the results of the n-th upload and of the n-th poll of a job, both counted from 1.
	submit func(ctx context.Context, n int) (analyzer.Job, error)
	wait   func(ctx context.Context, job string, n int) (analyzer.Result, error)
	silent bool // probes get no answer
	probes int
}

// Probe implements screen.API.
func (a *api) Probe(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.probes++
	if a.silent {
		return fault("poll", analyzer.KindNetwork, true)
	}
	return nil
}

// silence switches the answers to probes off or on.
func (a *api) silence(silent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = silent
}

func (a *api) Submit(ctx context.Context, clip analyzer.Audio) (analyzer.Job, error) {
	f, err := clip.Open()
	if err != nil {
		return analyzer.Job{}, &analyzer.Error{Op: "submit", Kind: analyzer.KindUnreadable, Err: err}
	}
	defer f.Close()
	hash := sha256.New()
	if n, err := io.Copy(hash, f); err != nil || n != clip.Size {
		return analyzer.Job{}, &analyzer.Error{
			Op:   "submit",
			Kind: analyzer.KindUnreadable,
			Err:  fmt.Errorf("%d of %d bytes: %w", n, clip.Size, err),
		}
	}
	a.mu.Lock()
	a.uploads = append(a.uploads, hex.EncodeToString(hash.Sum(nil)))
	n, submit := len(a.uploads), a.submit
	a.mu.Unlock()
	if submit != nil {
		return submit(ctx, n)
	}
	return job(n), nil
}

func (a *api) Wait(ctx context.Context, id string) (analyzer.Result, error) {
	a.mu.Lock()
	if a.polls == nil {
		a.polls = map[string]int{}
	}
	a.polls[id]++
	n, wait := a.polls[id], a.wait
	a.mu.Unlock()
	if wait != nil {
		return wait(ctx, id, n)
	}
	return scored(id, 0.1), nil
}

// told replaces the script of the API.
func (a *api) told(
	submit func(ctx context.Context, n int) (analyzer.Job, error),
	wait func(ctx context.Context, job string, n int) (analyzer.Result, error),
) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.submit, a.wait = submit, wait
}

func (a *api) uploaded() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.uploads...)
}

func (a *api) asked(job string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.polls[job]
}

func job(n int) analyzer.Job {
	return analyzer.Job{ID: fmt.Sprintf("job-%d", n), Status: analyzer.StatusQueued}
}

func scored(id string, score float64) analyzer.Result {
	return analyzer.Result{JobID: id, Score: score, Verdict: "deepfake_unlikely"}
}

func fault(op string, kind analyzer.Kind, retry bool) error {
	return &analyzer.Error{Op: op, Kind: kind, Retry: retry, Err: errors.New("as it was told")}
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// standIn returns the real client and the simulator that it is connected to.
func standIn(t testing.TB, script string) (*analyzer.Client, *simulator.Server) {
	t.Helper()
	parsed, err := simulator.ParseScript(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	stand := simulator.New(parsed)
	server := httptest.NewServer(stand)
	client, err := analyzer.New("key", &analyzer.Options{
		BaseURL:     server.URL,
		PollInitial: time.Millisecond,
		PollMax:     5 * time.Millisecond,
		Grace:       50 * time.Millisecond,
		KeyRetry:    10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.CloseIdleConnections(); server.Close() })
	return client, stand
}
