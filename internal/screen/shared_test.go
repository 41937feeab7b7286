package screen_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"callscreen/analyzer"
	"callscreen/internal/hook/event"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// TestSharedDatabase runs several nodes on one PostgreSQL server. Its tests share the server, and the last one stops it.
func TestSharedDatabase(t *testing.T) {
	t.Parallel()
	server := storetest.StartPostgres(t)
	t.Run("two nodes share the work", func(t *testing.T) { twoNodes(t, server.Database()) })
	t.Run("one takes over from another that died", func(t *testing.T) { takeOver(t, server.Database()) })
	t.Run("two nodes decide about one call", func(t *testing.T) { oneCall(t, server.Database()) })
	t.Run("it says what the policy says", func(t *testing.T) { stories(t, openShared(t, server.Database()), 80) })
	t.Run("a node loses its name, another is gone", func(t *testing.T) { lostNode(t, server.Database()) })
	t.Run("the database goes away and comes back", func(t *testing.T) { outage(t, server) })
}

// openShared opens the shared database for another node.
func openShared(t *testing.T, url string) *store.Store {
	t.Helper()
	if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// twoNodes runs two nodes on the segments that one of them has recorded. Both submit segments, and none is submitted twice.
func twoNodes(t *testing.T, url string) {
	const calls, segments = 8, 5
	messages := func(c *screen.DeciderConfig) {
		c.Subscribers = func(name string) []string {
			if name == event.AuditHead {
				return nil
			}
			return []string{"crm"}
		}
	}
	a := newNode(t, options{store: openShared(t, url), name: "a", desk: messages})
	b := newNode(t, options{store: openShared(t, url), name: "b", desk: messages, audio: a.audio}) // shared, as with S3
	b.api.told(func(_ context.Context, n int) (analyzer.Job, error) {
		j := job(n)
		j.ID += "-of-b"
		return j, nil
	}, nil)
	for i := range calls {
		a.record(a.part(fmt.Sprintf("call-%d", i), int64(i)), segments)
	}
	a.drain()
	stops := []func(){a.work(nil), b.work(nil)}
	for i := range calls {
		call := fmt.Sprintf("call-%d", i)
		r := a.final(call)
		if strings.Count(states(r), "scored") != segments || r.Decision != "clear" {
			t.Errorf("%s: %s", call, states(r))
		}
		if n, m := a.audited(call, store.AuditScored), a.audited(call, store.AuditDecided); n != segments || m != 1 ||
			a.audited(call, store.AuditResent)+a.audited(call, store.AuditSurplus) != 0 {
			t.Errorf("%s: %d segments scored, decided %d times", call, n, m)
		}
	}
	ofA, ofB := a.api.uploaded(), b.api.uploaded()
	if len(ofA) == 0 || len(ofB) == 0 || len(ofA)+len(ofB) != calls*segments {
		t.Errorf("%d uploads by node a, %d by node b", len(ofA), len(ofB))
	}
	counts, err := a.store.DeliveryCounts(t.Context())
	if err != nil || counts[[2]string{"crm", "pending"}] != calls*segments+calls {
		t.Errorf("%v messages, %v", counts, err)
	}
	for _, stop := range stops { // all callbacks have returned then
		stop()
	}
	for i := range calls {
		for _, s := range a.report(fmt.Sprintf("call-%d", i)).Segments {
			if n := a.times(s.ID) + b.times(s.ID); n != 1 {
				t.Errorf("%s was settled %d times", s.ID, n)
			}
		}
	}
	if lines, _, err := a.store.VerifyAudit(t.Context()); err != nil || lines != calls*(segments+1) {
		t.Errorf("%d lines of audit, %v", lines, err)
	}
}

// takeOver checks the take-over from a node that dies with a live call, a segment during its upload and another during its
// polls.
func takeOver(t *testing.T, url string) {
	dead := newNode(t, options{store: openShared(t, url), name: "dead"})
	for _, call := range []string{"ended", "live"} {
		dead.record(dead.part(call, 0), 1)
	}
	dead.drain()
	live := dead.part("live", 0)
	if err := dead.desk.Progress(t.Context(), live); err != nil { // the call is live
		t.Fatal(err)
	}
	if err := dead.store.Heartbeat(t.Context(), "dead", 0); err != nil {
		t.Fatal(err)
	}
	uploading, asked := dead.report("ended").Segments[0].ID, dead.report("live").Segments[0].ID
	if _, _, err := dead.store.BeginSubmit(t.Context(), uploading, "dead", dead.clock.now(), true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dead.store.BeginSubmit(t.Context(), asked, "dead", dead.clock.now(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := dead.store.SaveJob(t.Context(), asked, "job-of-dead", "dead", dead.clock.now()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{
		"UPDATE river_job SET state = 'running', attempted_at = now(), attempted_by = '{dead}', attempt = 1",
		"UPDATE node SET seen_ms = seen_ms - 60000 WHERE id = 'dead'",
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	alive := newNode(t, options{store: openShared(t, url), name: "alive", audio: dead.audio})
	alive.work(nil)
	r := alive.final("live")
	if states(r) != "caller0 scored, caller-1 failed/interrupted" || r.Decision != "inconclusive" || len(r.Warnings) != 1 ||
		!strings.Contains(r.Warnings[0], "the recording node is silent") {
		t.Errorf("%s %+v", states(r), r)
	}
	if r := alive.final("ended"); states(r) != "caller0 scored" || alive.audited("ended", store.AuditResent) != 1 {
		t.Errorf("%s %+v", states(r), r)
	}
	if alive.api.asked("job-of-dead") != 1 || len(alive.api.uploaded()) != 1 || !strings.Contains(alive.log.String(), "taken over") {
		t.Errorf("%d uploads\n%s", len(alive.api.uploaded()), alive.log.String())
	}
	// The node was only frozen and continues to record: the call is live again, and ends a second time.
	if err := dead.courier.Take(live, piece("caller", 1)); err != nil {
		t.Fatal(err)
	}
	if err := dead.courier.Progress(live); err != nil {
		t.Fatal(err)
	}
	dead.drain()
	if r := alive.report("live"); r.State != "live" || len(r.Segments) != 2 {
		t.Errorf("%s %+v", states(r), r)
	}
	dead.end(live)
	dead.drain()
	if r := alive.final("live"); states(r) != "caller0 scored, caller1 scored" || r.Decision != "clear" ||
		alive.audited("live", store.AuditDecided) != 2 {
		t.Errorf("%s %+v", states(r), r)
	}
}

// oneCall records the two legs of a call on two nodes. The call ends with the later leg and is decided once, over both.
func oneCall(t *testing.T, url string) {
	a := newNode(t, options{store: openShared(t, url), name: "a"})
	b := newNode(t, options{store: openShared(t, url), name: "b", audio: a.audio})
	ours, theirs := a.part("c", 0), b.part("c", 3)
	if err := b.courier.Progress(theirs); err != nil {
		t.Fatal(err)
	}
	if err := b.courier.Take(theirs, piece("agent", 0)); err != nil {
		t.Fatal(err)
	}
	b.drain()
	a.record(ours, 1)
	a.drain()
	a.work(nil)
	a.await("what there is is analysed", func() bool { return strings.Count(states(a.report("c")), "scored") == 2 })
	if r := a.report("c"); r.Final || r.State != "live" || r.Decision != "clear" {
		t.Errorf("%+v", r)
	}
	b.end(theirs)
	b.drain()
	r := a.final("c")
	if states(r) != "caller0 scored, agent0 scored" || r.Segments[1].Offset.Round() != report.Seconds(3e9) ||
		a.audited("c", store.AuditDecided) != 1 ||
		len(r.Legs) != 2 {
		t.Errorf("%s %+v", states(r), r)
	}
}

// outage stops the server while nodes record and analyse. Recording continues. After the outage no segment is missing, and
// none exists twice.
func outage(t *testing.T, server *storetest.Postgres) {
	n := newNode(t, options{store: openShared(t, server.Database())})
	stop := n.carry()
	n.work(nil)
	p := n.part("a", 0)
	n.recording.Store(p.PartKey, true)
	for i := range 3 {
		if err := n.courier.Take(p, piece("caller", i)); err != nil {
			t.Fatal(err)
		}
	}
	n.await("some of it is analysed", func() bool { return strings.Contains(states(n.report("a")), "scored") })
	server.Stop(syscall.SIGQUIT)
	for i := 3; i < 6; i++ {
		if err := n.courier.Take(p, piece("caller", i)); err != nil {
			t.Fatal(err)
		}
	}
	n.end(p)
	other := n.part("b", 5)
	for i := range 2 {
		if err := n.courier.Take(other, piece("agent", i)); err != nil {
			t.Fatal(err)
		}
	}
	n.end(other)
	n.await("the trouble is known", func() bool { _, since := n.courier.Waiting(); return !since.IsZero() })
	if entries := n.spool.Stats().Entries; entries < 7 {
		t.Errorf("%d entries wait in the spool", entries)
	}
	server.Start()
	a, b := n.final("a"), n.final("b")
	stop()
	if strings.Count(states(a), "scored") != 6 || strings.Count(states(b), "scored") != 2 || a.Decision != "clear" || b.Decision != "clear" {
		t.Errorf("%s; %s", states(a), states(b))
	}
	up := n.api.uploaded()
	slices.Sort(up)
	if once := len(slices.Compact(up)); once != 8 || len(up) != 8 { // saving a job id is retried until the database is back
		t.Errorf("%d uploads of %d segments", len(up), once)
	}
	for _, call := range []string{"a", "b"} {
		if d := n.audited(call, store.AuditDecided); d != 1 {
			t.Errorf("%s was decided %d times", call, d)
		}
	}
	if st := n.spool.Stats(); st.Entries != 0 || !strings.Contains(n.log.String(), "delivery recovered") {
		t.Errorf("%+v\n%s", st, n.log.String())
	}
	if _, _, err := n.store.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}
