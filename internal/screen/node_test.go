package screen_test

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	closets "callscreen/internal/audio"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/internal/testkit"
	"callscreen/policy"
)

// patience is the longest time that a test waits for an expected event.
const patience = 30 * time.Second

// node is the durable half of a sidecar, from the segment to the decision, with a scripted analysis API.
type node struct {
	recording sync.Map // keys of the parts that this node reports as being recorded
	t         testing.TB
	dir       string
	name      string
	store     *store.Store
	spool     *spool.Spool
	audio     *closet
	desk      *screen.Decider
	courier   *screen.Forwarder
	api       *api
	log       testkit.Log
	clock     *clock
	keep      time.Duration // records, see MaintenanceConfig
	inFlight  int           // 4 if it is 0
	wire      func(*screen.MaintenanceConfig)
	worker    *screen.Worker // of the last call of work

	mu      sync.Mutex
	changed chan struct{} // closed at the next commit
	settled map[string]int
}

// options configure a node. Zero values are valid.
type options struct {
	dir       string // of the spool and the audio, and of SQLite if store is nil
	name      string
	store     *store.Store
	audio     *closet // of another node
	clock     *clock
	desk      func(*screen.DeciderConfig)
	courier   func(*screen.ForwarderConfig)
	spool     spool.Config
	keepAudio map[string]time.Duration
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
	n := &node{
		t:       t,
		dir:     o.dir,
		name:    o.name,
		store:   o.store,
		api:     &api{},
		clock:   o.clock,
		changed: make(chan struct{}),
		settled: map[string]int{},
	}
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
	desk := screen.DeciderConfig{
		Store:         o.store,
		Policy:        policy.Default(),
		PolicyVersion: 1,
		KeepAudio:     o.keepAudio,
		Now:           o.clock.now,
		OnCommit:      func(string) { n.news() },
		OnSettled: func(_ string, s report.SegmentReport) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.settled[s.ID]++
		},
	}
	if o.desk != nil {
		o.desk(&desk)
	}
	n.desk = screen.NewDecider(desk)
	courier := screen.ForwarderConfig{
		Spool:   n.spool,
		Audio:   n.audio,
		Decider: n.desk,
		Now:     o.clock.now,
		Log:     log,
	}
	if o.courier != nil {
		o.courier(&courier)
	}
	n.courier = screen.NewForwarder(courier)
	return n
}

// news wakes the callers of await after a commit.
func (n *node) news() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.changed)
	n.changed = make(chan struct{})
}

// times returns the number of OnSettled calls of this node for a segment.
func (n *node) times(segment string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.settled[segment]
}

// await waits until so returns true. It checks after each commit.
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
		case <-time.After(50 * time.Millisecond): // for changes that are no commits of this node
		case <-end:
			n.t.Fatalf("timeout: waited in vain until %s\n%s", what, n.log.String())
		}
	}
}

// carry runs the forwarder until the returned function is called.
func (n *node) carry() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.courier.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	n.t.Cleanup(stop)
	return stop
}

// drain delivers all entries of the spool.
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

// work runs worker and maintenance until the returned function is called. It does not wait for segments in progress.
func (n *node) work(change func(*screen.WorkerConfig)) (stop func()) {
	n.t.Helper()
	log := slog.New(slog.NewTextHandler(&n.log, nil))
	cfg := screen.WorkerConfig{
		API:           n.api,
		Store:         n.store,
		Decider:       n.desk,
		Audio:         n.audio,
		Node:          n.name,
		Deadline:      time.Minute,
		MaxAge:        time.Hour,
		ResendInDoubt: true,
		RetryCleaned:  true,
		Rest:          200 * time.Millisecond,
		KeyRetry:      50 * time.Millisecond,
		Now:           n.clock.now,
		Log:           log,
	}
	if change != nil {
		change(&cfg)
	}
	n.worker = screen.NewWorker(cfg)
	engine := n.engine(n.worker, cmp.Or(n.inFlight, 4))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := engine.Run(ctx, time.Millisecond); err != nil {
			n.t.Errorf("maintenance of node %s: %v", n.name, err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	n.t.Cleanup(stop)
	return stop
}

func (n *node) engine(w *screen.Worker, inFlight int) *screen.Maintenance {
	n.t.Helper()
	cfg := screen.MaintenanceConfig{
		Worker:      w,
		Store:       n.store,
		Decider:     n.desk,
		Audio:       n.audio,
		Node:        n.name,
		MaxInFlight: inFlight,
		KeepRecords: n.keep,
		MaxAge:      3 * time.Hour, // no test of the worker is quicker than the maintenance
		Now:         n.clock.now,
		Log:         slog.New(slog.NewTextHandler(&n.log, nil)),
		OwnParts: func() map[store.PartKey]bool {
			own := map[store.PartKey]bool{}
			n.courier.Parts(own)
			n.recording.Range(func(k, _ any) bool { own[k.(store.PartKey)] = true; return true })
			return own
		},
	}
	if n.wire != nil {
		n.wire(&cfg)
	}
	engine, err := screen.NewMaintenance(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	return engine
}

// idle returns a Maintenance that does not run, for tests of its single tasks.
func (n *node) idle() *screen.Maintenance {
	return n.engine(screen.NewWorker(screen.WorkerConfig{}), 1)
}

// part returns a part of a call that began at the given second.
func (n *node) part(call string, second int64) store.Part {
	return store.Part{
		PartKey:  store.PartKey{Call: call, Part: 1_780_000_000_000 + 1000*second, Node: n.name},
		Metadata: map[string]string{"queue": "payments"},
	}
}

// record spools a part with a number of segments of the caller, and its end.
func (n *node) record(p store.Part, segments int) {
	n.t.Helper()
	for i := range segments {
		if err := n.courier.Take(p, piece("caller", i)); err != nil {
			n.t.Fatal(err)
		}
	}
	p.Legs = []store.LegProgress{{PartKey: p.PartKey, Leg: "caller", Duration: time.Minute, Segments: segments}}
	n.end(p)
}

func (n *node) end(p store.Part) {
	n.t.Helper()
	p.EndedAt = time.UnixMilli(p.Part + 60_000).UTC()
	if p.Legs == nil {
		p.Legs = []store.LegProgress{{PartKey: p.PartKey, Leg: "caller", Duration: time.Minute}}
	}
	if err := n.courier.Progress(p); err != nil {
		n.t.Fatal(err)
	}
}

// call stores a call with a number of segments that wait for analysis.
func (n *node) call(id string, segments int) {
	n.t.Helper()
	n.record(n.part(id, 0), segments)
	n.drain()
}

func (n *node) report(call string) report.CallReport {
	n.t.Helper()
	r, err := n.desk.Report(context.Background(), call)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		n.t.Fatal(err)
	}
	return r
}

// final waits until the decision of an ended call is final.
func (n *node) final(call string) (r report.CallReport) {
	n.t.Helper()
	n.await("call "+call+" is decided", func() bool { r = n.report(call); return r.Final && r.State == store.CallEnded })
	return r
}

// audited returns the number of audit lines of a kind about a call.
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

// states returns the segments of a call with their states and reasons.
func states(r report.CallReport) string {
	var list []string
	for _, s := range r.Segments {
		list = append(list, strings.Trim(fmt.Sprintf("%s%d %s/%s", s.Leg, s.Seq, s.State, s.Reason), "/"))
	}
	return strings.Join(list, ", ")
}

// raw executes a statement on the SQLite database, past the store.
func (n *node) raw(query string) {
	n.t.Helper()
	db := n.behind()
	defer db.Close()
	if _, err := db.ExecContext(n.t.Context(), query); err != nil {
		n.t.Fatal(err)
	}
}

// count returns the number that a query on the SQLite database yields.
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
