package screen_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"callscreen/analyzer"
	closets "callscreen/internal/audio"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// TestNeighbours runs nodes that are wired as serve wires them on one PostgreSQL server.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	server := storetest.StartPostgres(t)
	for name, run := range map[string]func(*testing.T, string){
		"a node that does not see the audio fails nothing": audioElsewhere,
		"a node with another audio folder fails nothing":   folderMissing,
		"frozen connections cost no take-over":             frozenConnections,
		"a node that is cut off stops before a take-over":  cutOff,
		"thousands of gone nodes cost nothing":             thousandsGone,
		"calls of a node that is back are not ended":       backInTime,
		"a run that was frozen uploads nothing":            frozenRun,
		"a node that is taken over at its start works":     takenAtStart,
		"what a spool has of an erased call is erased":     erasedElsewhere,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := server.Database()
			if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
				t.Fatal(err)
			}
			run(t, url)
		})
	}
}

// member opens the store as a node does, and returns the node with its lease.
func member(t *testing.T, url, name string, o options) (*node, *screen.Lease) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 15, Owner: true, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := s.Join(ctx, name, name); err != nil {
		t.Fatal(err)
	}
	lease := &screen.Lease{}
	o.store, o.name = s, name
	o.desk = func(c *screen.DeciderConfig) { c.Now = s.Now }
	o.courier = func(c *screen.ForwarderConfig) { c.Now, c.Since = s.Now, s.Since }
	n := newNode(t, o)
	n.wire = func(c *screen.MaintenanceConfig) {
		c.Lease, c.Now, c.Since, c.Expiry = lease, s.Now, s.Since, s.Earliest
	}
	return n, lease
}

// takenAtStart: another node takes a node over between its joining and its first write, as while the database is frozen. The simulation
// found that it did not work for good, and the program that it ended.
func takenAtStart(t *testing.T, url string) {
	a, lease := member(t, url, "a", options{})
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "UPDATE node SET generation = generation + 1 WHERE id = 'a'"); err != nil {
		t.Fatal(err)
	}
	a.record(a.part("c", 0), 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.idle().Run(ctx, 0) }()
	a.await("the node has joined again", lease.Held)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if a.drain(); len(a.report("c").Segments) != 1 {
		t.Errorf("%+v", a.report("c"))
	}
}

// backInTime: a node joins again after it was taken over and before its calls were ended. It continues them itself.
func backInTime(t *testing.T, url string) {
	a, _ := member(t, url, "a", options{})
	b, _ := member(t, url, "b", options{})
	p := a.part("live", 0)
	if err := a.courier.Progress(p); err != nil {
		t.Fatal(err)
	}
	a.drain()
	beats, err := b.store.Beats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var beat store.NodeBeat
	for _, one := range beats {
		if one.Node == "a" {
			beat = one
		}
	}
	if _, done, err := b.store.TakeOver(t.Context(), beat); err != nil || !done {
		t.Fatal(done, err)
	}
	time.Sleep(5 * time.Millisecond) // heartbeats are told apart by their milliseconds
	if err := a.store.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	look := b.engine(screen.NewWorker(screen.WorkerConfig{API: b.api, Store: b.store, Decider: b.desk, Audio: b.audio}), 1)
	open := func() int {
		t.Helper()
		parts, err := b.store.OpenParts(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return len(parts)
	}
	if err := look.EndLost(t.Context(), beat); err != nil || open() != 1 {
		t.Errorf("%d open parts of a node that is back: %v", open(), err)
	}
	if beats, err = b.store.Beats(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, one := range beats {
		if one.Node != "a" {
			continue
		}
		if err := look.EndLost(t.Context(), one); err != nil || open() != 0 {
			t.Errorf("%d open parts of a node that stays silent: %v", open(), err)
		}
	}
}

// audioElsewhere runs two nodes of which one finds no audio, with nothing to tell it why: as when a store shows late what was
// written to it.
func audioElsewhere(t *testing.T, url string) {
	a, leaseA := member(t, url, "a", options{})
	b, leaseB := member(t, url, "b", options{}) // with a folder of its own, which is empty
	for i := range 3 {
		a.record(a.part(fmt.Sprintf("call-%d", i), int64(i)), 4)
	}
	a.drain()
	b.work(func(c *screen.WorkerConfig) { c.Lease = leaseB })
	b.await("the node without the audio has tried", func() bool { return strings.Contains(b.log.String(), "audio not found") })
	a.work(func(c *screen.WorkerConfig) { c.Lease = leaseA })
	for i := range 3 {
		if r := a.final(fmt.Sprintf("call-%d", i)); strings.Count(states(r), "scored") != 4 || r.Decision != "clear" {
			t.Errorf("%s: %s", r.Call, states(r))
		}
	}
	if n := len(b.api.uploaded()); n != 0 {
		t.Errorf("%d uploads without audio", n)
	}
}

// folderMissing runs two nodes of which one has an empty folder in place of the mounted one. Both record.
func folderMissing(t *testing.T, url string) {
	mounted, empty := t.TempDir(), t.TempDir()
	marked := func(n **node, dir string) *closets.Marked {
		folder, err := closets.NewFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = folder.Close() })
		return closets.NewMarked(folder, closets.MarkedConfig{
			Identity: func(ctx context.Context, p string) (string, error) { return (*n).store.AudioIdentity(ctx, p) },
			Samples:  func(ctx context.Context) ([]string, error) { return (*n).store.AudioSamples(ctx) },
			Proposal: "of-" + filepath.Base(dir),
			Temp:     t.TempDir(),
		})
	}
	var a, b *node
	right, wrong := marked(&a, mounted), marked(&b, empty)
	var leaseA, leaseB *screen.Lease
	a, leaseA = member(t, url, "a", options{audio: &closet{Store: right}})
	b, leaseB = member(t, url, "b", options{audio: &closet{Store: wrong}})
	a.record(a.part("first", 0), 2)
	a.drain()
	a.record(a.part("of-a", 1), 4)
	b.record(b.part("of-b", 2), 4)
	a.carry()
	b.carry()
	a.work(func(c *screen.WorkerConfig) { c.Lease = leaseA })
	b.work(func(c *screen.WorkerConfig) {
		c.Lease, c.Able = leaseB, func() bool { return wrong.Verify(t.Context()) == nil }
	})
	for _, call := range []string{"first", "of-a"} {
		if r := a.final(call); strings.Contains(states(r), "failed") || r.Decision != "clear" {
			t.Errorf("%s: %s", call, states(r))
		}
	}
	b.await("the node notices", func() bool { _, since := b.courier.Waiting(); return !since.IsZero() })
	if r := b.report("of-b"); strings.Contains(states(r), "failed") {
		t.Error(states(r))
	}
	if wrong.Fault() == nil || right.Fault() != nil {
		t.Errorf("%v, %v", wrong.Fault(), right.Fault())
	}
	// The folder is mounted. The spool is delivered and all of it decided.
	marker, err := os.ReadFile(filepath.Join(mounted, closets.MarkerKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(empty, closets.MarkerKey), marker, 0o600); err != nil {
		t.Fatal(err)
	}
	b.await("the spool is delivered", func() bool { n, _ := b.courier.Waiting(); return n == 0 })
	if r := b.report("of-b"); strings.Contains(states(r), "failed") {
		t.Error(states(r))
	}
}

// frozenConnections freezes the connections of a node, of which new ones pass. No other node takes over its live call.
func frozenConnections(t *testing.T, url string) {
	proxy, through := storetest.NewProxy(t, url, "127.0.0.1:0", "")
	a, leaseA := member(t, through, "a", options{})
	b, leaseB := member(t, url, "b", options{audio: a.audio})
	live := a.part("live", 0)
	a.recording.Store(live.PartKey, true)
	if err := a.courier.Take(live, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	a.carry()
	a.work(func(c *screen.WorkerConfig) { c.Lease = leaseA })
	b.work(func(c *screen.WorkerConfig) { c.Lease = leaseB })
	a.await("the first segment is scored", func() bool { return strings.Contains(states(b.report("live")), "scored") })
	for range 3 {
		proxy.Freeze(false)
		served := proxy.Served()
		a.await("the node connects again", func() bool { return proxy.Served() > served })
	}
	for i := 1; i < 4; i++ {
		if err := a.courier.Take(live, piece("caller", i)); err != nil {
			t.Fatal(err)
		}
	}
	a.end(live)
	b.await("the call is decided", func() bool { r := b.report("live"); return r.Final && r.State == store.CallEnded })
	if r := b.report("live"); strings.Count(states(r), "scored") != 4 || r.Decision != "clear" || len(r.Warnings) != 0 {
		t.Errorf("%s %v", states(r), r.Warnings)
	}
	for _, log := range []string{a.log.String(), b.log.String()} {
		if strings.Contains(log, "taken over") || strings.Contains(log, "interrupted call ended") || strings.Contains(log, "taken for dead") {
			t.Error(log)
		}
	}
	if n := b.audited("live", store.AuditSurplus); n != 0 {
		t.Errorf("%d surplus jobs", n)
	}
}

// cutOff freezes all connections of a node, also new ones. Its lease ends before the other node takes over, none of its late
// writes counts, and it goes on once the database answers.
func cutOff(t *testing.T, url string) {
	proxy, through := storetest.NewProxy(t, url, "127.0.0.1:0", "")
	a, leaseA := member(t, through, "a", options{})
	b, leaseB := member(t, url, "b", options{audio: a.audio})
	var lostFirst, takenOver atomic.Bool
	live := a.part("live", 0)
	a.recording.Store(live.PartKey, true)
	if err := a.courier.Take(live, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	a.carry()
	a.work(func(c *screen.WorkerConfig) { c.Lease = leaseA })
	b.work(func(c *screen.WorkerConfig) { c.Lease = leaseB })
	b.await("the nodes work", func() bool { return states(b.report("live")) == "caller0 scored" && leaseA.Held() && leaseB.Held() })
	proxy.Freeze(true)
	for end := time.Now().Add(time.Minute); !takenOver.Load(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no take-over\n%s", b.log.String())
		}
		if !leaseA.Held() {
			lostFirst.Store(true)
		}
		takenOver.Store(b.report("live").State == store.CallEnded)
	}
	if !lostFirst.Load() {
		t.Error("the other node took over while this one could work")
	}
	proxy.Thaw()
	a.await("the node works again", leaseA.Held)
	if err := a.courier.Take(live, piece("caller", 1)); err != nil {
		t.Fatal(err)
	}
	a.end(live)
	b.await("the call ends again", func() bool {
		return states(b.report("live")) == "caller0 scored, caller1 scored" && b.report("live").Final
	})
	if !strings.Contains(a.log.String(), "taken for dead, it works again") {
		t.Error(a.log.String())
	}
}

// opened is an audio store that calls do before it opens anything.
type opened struct {
	closets.Store
	do func()
}

// Open implements audio.Store.
func (o opened) Open(ctx context.Context, key string) (closets.Object, int64, error) {
	o.do()
	return o.Store.Open(ctx, key)
}

// frozenRun freezes a node before it stores that it uploads. Meanwhile another one takes its job over, and the node joins again: the
// run must not upload beside the other node. The simulation found it in one of 273 worlds.
func frozenRun(t *testing.T, url string) {
	ctx := t.Context()
	a, lease := member(t, url, "a", options{})
	b, _ := member(t, url, "b", options{audio: a.audio})
	a.record(a.part("c", 0), 1)
	a.drain()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(errors.Join(a.store.Heartbeat(ctx, "a", 0), b.store.Heartbeat(ctx, "b", 0)))
	segment := a.report("c").Segments[0].ID
	frozen := func() {
		beats, err := b.store.Beats(ctx)
		must(err)
		for _, beat := range beats {
			if beat.Node == "a" {
				_, done, err := b.store.TakeOver(ctx, beat)
				if must(err); !done {
					t.Fatal("not taken over")
				}
			}
		}
		_, _, err = b.store.BeginSubmit(ctx, segment, "b", b.store.Now(), true)
		must(err)
		must(a.store.Rejoin(ctx))
	}
	lease.Renew(time.Now())
	w := screen.NewWorker(screen.WorkerConfig{
		API:           a.api,
		Store:         a.store,
		Decider:       a.desk,
		Audio:         opened{a.audio, frozen},
		Node:          "a",
		Deadline:      time.Minute,
		MaxAge:        time.Hour,
		ResendInDoubt: true,
		Lease:         lease,
		Now:           a.store.Now,
	})
	row := &rivertype.JobRow{Attempt: 1}
	err := w.Work(ctx, &river.Job[store.SegmentJob]{JobRow: row, Args: store.SegmentJob{Segment: segment}})
	if !errors.Is(err, store.ErrFenced) || len(a.api.uploaded()) != 0 || a.audited("c", store.AuditResent) != 0 {
		t.Errorf("%v, %d uploads, %d repeated", err, len(a.api.uploaded()), a.audited("c", store.AuditResent))
	}
}

// lateAPI reads a clip after a pause, as a process does that was frozen during the upload: its timers are late.
type lateAPI struct {
	screen.API
	pause time.Duration
}

func (a lateAPI) Submit(_ context.Context, clip analyzer.Audio) (analyzer.Job, error) {
	f, err := clip.Open()
	if err != nil {
		return analyzer.Job{}, err
	}
	defer f.Close()
	time.Sleep(a.pause)
	if _, err := io.ReadAll(f); err != nil { // as the client answers it
		return analyzer.Job{}, &analyzer.Error{Op: "submit", Kind: analyzer.KindUnreadable, Err: err}
	}
	return analyzer.Job{}, nil
}

// A clip is not sent after the lease, though the request has begun before, and that is no fault of the clip. Random faults of the whole
// program found the first, and the simulation the second.
func TestNoClipIsSentAfterTheLease(t *testing.T) {
	t.Parallel()
	for pause, sent := range map[time.Duration]bool{0: true, 300 * time.Millisecond: false} {
		l := &screen.Lease{}
		l.Renew(time.Now().Add(200*time.Millisecond - screen.LeaseFor))
		_, err := screen.Leased(lateAPI{pause: pause}, l).Submit(t.Context(), analyzer.BytesAudio([]byte("clip")))
		if sent != (err == nil) || !sent && analyzer.Reason(err) != string(analyzer.KindCanceled) {
			t.Errorf("read after %v: %v", pause, err)
		}
	}
}

func thousandsGone(t *testing.T, url string) {
	a, _ := member(t, url, "a", options{})
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(q string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO node (id, started_ms, seen_ms) SELECT 'gone-' || n, 1, 1 FROM generate_series(1, 3000) n")
	transactions := func() (n int) {
		t.Helper()
		for range 5 { // the statistics lag behind
			time.Sleep(300 * time.Millisecond)
			if err := db.QueryRowContext(t.Context(), "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").
				Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	a.work(nil)
	time.Sleep(7 * time.Second) // until the gone nodes count as silent
	before := transactions()
	const looks = 10 * time.Second
	time.Sleep(looks)
	if n := transactions() - before; n > 600 {
		t.Errorf("%d transactions in %v beside 3000 gone nodes", n, looks)
	}
}
