package screen_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/capture"
	closets "callscreen/internal/audio"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// node is the durable half of a sidecar, from the segment to the decision, in front of an API that does as it is told.
type node struct {
	recording sync.Map // parts that the engine must take for being recorded here, by their keys
	t         testing.TB
	dir       string
	name      string
	store     *store.Store
	spool     *spool.Spool
	audio     *closet
	desk      *screen.Desk
	courier   *screen.Courier
	api       *api
	log       lockedBuffer
	clock     *clock

	mu      sync.Mutex
	changed chan struct{} // closed at the next commit
	settled map[string]int
}

// options are what a node is told. Zero values are usable.
type options struct {
	dir       string // of the spool and the audio, and of SQLite if store is nil
	name      string
	store     *store.Store
	audio     *closet // of another node
	clock     *clock
	desk      func(*screen.DeskConfig)
	courier   func(*screen.CourierConfig)
	spool     spool.Config
	keepAudio map[string]time.Duration
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// errors counts the lines that call for somebody.
func (l *lockedBuffer) errors() int { return strings.Count(l.String(), "level=ERROR") }

// clock is the time of the machine, moved ahead.
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

func newNode(t testing.TB, o options) *node {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	if o.store == nil {
		o.store = storetest.SQLite(t, o.dir)
	}
	if o.clock == nil {
		o.clock = &clock{}
	}
	if o.name == "" {
		o.name = "n1"
	}
	n := &node{t: t, dir: o.dir, name: o.name, store: o.store, api: &api{}, clock: o.clock, changed: make(chan struct{}), settled: map[string]int{}}
	log := slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if n.audio = o.audio; n.audio == nil {
		folder, err := closets.NewFolder(filepath.Join(o.dir, "audio"))
		if err != nil {
			t.Fatal(err)
		}
		n.audio = &closet{Store: folder}
		t.Cleanup(func() { _ = folder.Close() })
	}
	o.spool.Log = log
	var err error
	if n.spool, err = spool.Open(filepath.Join(o.dir, "spool"), o.spool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.spool.Close() })
	desk := screen.DeskConfig{
		Store: o.store, Policy: policy.Default(), PolicyVersion: 1, KeepAudio: o.keepAudio, Now: o.clock.now, OnCommit: func(string) { n.news() },
		OnSettled: func(_ string, s screen.SegmentReport) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.settled[s.ID]++
		},
	}
	if o.desk != nil {
		o.desk(&desk)
	}
	n.desk = screen.NewDesk(desk)
	courier := screen.CourierConfig{Spool: n.spool, Audio: n.audio, Desk: n.desk, Now: o.clock.now, Log: log}
	if o.courier != nil {
		o.courier(&courier)
	}
	n.courier = screen.NewCourier(courier)
	return n
}

// news wakes those who wait for something to be committed.
func (n *node) news() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.changed)
	n.changed = make(chan struct{})
}

// times is how often a segment was settled by this node, as far as was told.
func (n *node) times(segment string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.settled[segment]
}

// await waits until something is so, looking after each commit.
func (n *node) await(what string, so func() bool) {
	n.t.Helper()
	end := time.After(patience)
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		if so() {
			return
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // what is no commit of this node
		case <-end:
			n.t.Fatalf("%s: never\n%s", what, n.log.String())
		}
	}
}

// carry runs the courier until the returned function is called.
func (n *node) carry() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.courier.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	n.t.Cleanup(stop)
	return stop
}

// drain delivers everything that lies in the spool.
func (n *node) drain() {
	n.t.Helper()
	stop := n.carry()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.courier.Drain(ctx); err != nil {
		n.t.Fatalf("%v\n%s", err, n.log.String())
	}
}

// work runs an engine until the returned function is called, which does not wait for what is under way.
func (n *node) work(change func(*screen.WorkerConfig)) (stop func()) {
	n.t.Helper()
	log := slog.New(slog.NewTextHandler(&n.log, nil))
	cfg := screen.WorkerConfig{
		API: n.api, Store: n.store, Desk: n.desk, Audio: n.audio, Node: n.name, Deadline: time.Minute, MaxAge: time.Hour, ResendInDoubt: true, RetryCleaned: true,
		Rest: 200 * time.Millisecond, KeyRetry: 50 * time.Millisecond, Now: n.clock.now, Log: log,
	}
	if change != nil {
		change(&cfg)
	}
	engine := n.engine(screen.NewWorker(cfg), 4)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := engine.Run(ctx, time.Millisecond); err != nil {
			n.t.Errorf("the engine of %s: %v", n.name, err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	n.t.Cleanup(stop)
	return stop
}

func (n *node) engine(w *screen.Worker, inFlight int) *screen.Engine {
	n.t.Helper()
	engine, err := screen.NewEngine(screen.EngineConfig{
		Worker: w, Store: n.store, Desk: n.desk, Audio: n.audio, Node: n.name, MaxInFlight: inFlight, Now: n.clock.now, Log: slog.New(slog.NewTextHandler(&n.log, nil)),
		OwnParts: func() map[store.PartKey]bool {
			own := map[store.PartKey]bool{}
			n.courier.Parts(own)
			n.recording.Range(func(k, _ any) bool { own[k.(store.PartKey)] = true; return true })
			return own
		},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return engine
}

// idle is an engine that does not run, for what it does now and then.
func (n *node) idle() *screen.Engine { return n.engine(screen.NewWorker(screen.WorkerConfig{}), 1) }

// part is a part of a call that began at a certain second.
func (n *node) part(call string, second int64) store.Part {
	return store.Part{PartKey: store.PartKey{Call: call, Part: 1_780_000_000_000 + 1000*second, Node: n.name}, Metadata: map[string]string{"queue": "payments"}}
}

// piece is a segment of 4 s, all of it speech.
func piece(leg string, seq int) capture.LegSegment {
	const rate, samples = 16000, 64000
	pcm := make([]int16, samples)
	for i := range pcm {
		pcm[i] = int16(i*(seq+3)*7 + len(leg)*31)
	}
	begin := int64(seq) * samples
	return capture.LegSegment{Leg: leg, Segment: capture.Segment{
		Seq: seq, Rate: rate, Span: capture.Span{Start: begin, End: begin + samples}, PCM: pcm, Speech: samples, Voiced: []capture.Span{{Start: begin + 1600, End: begin + 48000}},
	}}
}

// silence is a segment that was skipped.
func silence(leg string, seq int) capture.LegSegment {
	s := piece(leg, seq)
	s.PCM, s.Speech, s.Voiced, s.Skipped = nil, 0, nil, "too_little_speech"
	return s
}

// record spools a part with so many segments of the caller, and its end.
func (n *node) record(p store.Part, segments int) {
	n.t.Helper()
	for i := range segments {
		if err := n.courier.Take(p, piece("caller", i)); err != nil {
			n.t.Fatal(err)
		}
	}
	n.end(p)
}

func (n *node) end(p store.Part) {
	n.t.Helper()
	p.EndedAt = time.UnixMilli(p.Part + 60_000).UTC()
	p.Legs = []store.Leg{{PartKey: p.PartKey, Leg: "caller", Duration: time.Minute}}
	if err := n.courier.Progress(p); err != nil {
		n.t.Fatal(err)
	}
}

// call makes a call of so many segments that wait for the analysis.
func (n *node) call(id string, segments int) {
	n.t.Helper()
	n.record(n.part(id, 0), segments)
	n.drain()
}

func (n *node) report(call string) screen.LiveReport {
	n.t.Helper()
	r, err := n.desk.Report(context.Background(), call)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		n.t.Fatal(err)
	}
	return r
}

// final waits until the decision of a call that has ended will not change any more.
func (n *node) final(call string) (r screen.LiveReport) {
	n.t.Helper()
	n.await("call "+call+" is decided", func() bool { r = n.report(call); return r.Final && r.State == store.CallEnded })
	return r
}

// audited counts the lines of a kind about a call.
func (n *node) audited(call, what string) (count int) {
	n.t.Helper()
	lines, err := n.store.AuditOf(context.Background(), call)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, l := range lines {
		if l.What == what {
			count++
		}
	}
	return count
}

// states lists the segments of a call.
func states(r screen.LiveReport) string {
	var list []string
	for _, s := range r.Segments {
		list = append(list, strings.Trim(fmt.Sprintf("%s%d %s/%s", s.Leg, s.Seq, s.State, s.Reason), "/"))
	}
	return strings.Join(list, ", ")
}

// closet is an audio store that can fail.
type closet struct {
	closets.Store
	mu    sync.Mutex
	fails error
	stays string // a key that cannot be deleted
	puts  map[string]int
}

func (c *closet) stuck(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stays = key
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
	stays := c.stays
	c.mu.Unlock()
	if key == stays {
		return fmt.Errorf("%s cannot be deleted", key)
	}
	return c.Store.Delete(ctx, key)
}

// has tells whether there is audio under a key.
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

// api is an analysis API that does as it is told, well by default: each upload becomes a job of its own, with a low score.
type api struct {
	mu      sync.Mutex
	uploads []string // hashes of what was uploaded
	polls   map[string]int
	// submit and wait, if set, say what becomes of the n-th upload, and of the n-th time that a job is asked about, both
	// counted from 1.
	submit func(ctx context.Context, n int) (analyzer.Job, error)
	wait   func(ctx context.Context, job string, n int) (analyzer.Result, error)
}

func (a *api) Submit(ctx context.Context, clip analyzer.Audio) (analyzer.Job, error) {
	f, err := clip.Open()
	if err != nil {
		return analyzer.Job{}, &analyzer.Error{Op: "submit", Kind: analyzer.KindUnreadable, Err: err}
	}
	defer f.Close()
	hash := sha256.New()
	if n, err := io.Copy(hash, f); err != nil || n != clip.Size {
		return analyzer.Job{}, &analyzer.Error{Op: "submit", Kind: analyzer.KindUnreadable, Err: fmt.Errorf("%d of %d bytes: %w", n, clip.Size, err)}
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

// told changes what the API does.
func (a *api) told(submit func(ctx context.Context, n int) (analyzer.Job, error), wait func(ctx context.Context, job string, n int) (analyzer.Result, error)) {
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

// standIn is the real client in front of a stand-in that follows a script.
func standIn(t testing.TB, script string) (*analyzer.Client, *simulator.Server) {
	t.Helper()
	parsed, err := simulator.ParseScript(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	stand := simulator.New(parsed)
	server := httptest.NewServer(stand)
	client, err := analyzer.New("key", &analyzer.Options{BaseURL: server.URL, PollInitial: time.Millisecond, PollMax: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.CloseIdleConnections(); server.Close() })
	return client, stand
}

// raw changes a SQLite database behind the back of the program.
func (n *node) raw(query string) {
	n.t.Helper()
	db := n.behind()
	defer db.Close()
	if _, err := db.ExecContext(n.t.Context(), query); err != nil {
		n.t.Fatal(err)
	}
}

// count looks into a SQLite database.
func (n *node) count(query string) (rows int) {
	n.t.Helper()
	db := n.behind()
	defer db.Close()
	if err := db.QueryRowContext(n.t.Context(), query).Scan(&rows); err != nil {
		n.t.Fatal(err)
	}
	return rows
}

func (n *node) behind() *sql.DB {
	n.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.dir, "callscreen.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		n.t.Fatal(err)
	}
	return db
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
