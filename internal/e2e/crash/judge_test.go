package crash_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"callscreen/internal/store"
)

// verdict holds the results of a test: numbers of segments, calls, uploads and messages.
type verdict struct {
	promised, lost, undecided, held, failed, paidTwice, audited int
	drained                                                     time.Duration
}

func (v verdict) String() string {
	return fmt.Sprintf(
		"promised %d, lost %d, undecided %d, paid twice %d, drained in %.1f s",
		v.promised,
		v.lost,
		v.undecided,
		v.paidTwice,
		v.drained.Seconds(),
	)
}

// drain waits until no spool entry, segment, call or message is pending. Segments that wait for a person stay.
func (w *world) drain(within time.Duration, nodes ...*node) time.Duration {
	w.t.Helper()
	last := ""
	took := eventually(w.t, within, "drain", func() (bool, string) {
		spooled := 0
		for _, n := range nodes {
			files, _ := filepath.Glob(filepath.Join(n.dir, "spool", "*.json"))
			spooled += len(files)
		}
		open := w.count(nodes[0], "SELECT count(*) FROM segment WHERE state IN ('recorded', 'submitted') AND reason <> 'in_doubt'")
		live := w.count(nodes[0], "SELECT count(*) FROM call WHERE state = 'live' OR final = 0")
		hooks := w.count(nodes[0], "SELECT count(*) FROM webhook_delivery WHERE state = 'pending'")
		logs := ""
		for _, n := range nodes {
			logs += n.tail()
		}
		if spooled+open+live+hooks == 0 {
			return true, ""
		}
		last = fmt.Sprintf("%d in the spool, %d segments open, %d calls not final, %d messages", spooled, open, live, hooks)
		return false, last + "\n" + logs
	})
	w.t.Logf("drained in %.1f s, at last %s", took.Seconds(), last)
	drains.add(w.t.Name(), took)
	return took
}

// judge compares the promised segments with the database. All nodes must be drained.
func (w *world) judge(n *node) (v verdict) {
	t := w.t
	t.Helper()
	s := w.open(n)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	uploads, segments, calls := map[string]int{}, map[string]int{}, map[string]bool{}
	clear, broken, lost := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, u := range w.stand.Uploads() {
		uploads[u.SHA256]++
	}
	for id, call := range w.promised {
		v.promised++
		calls[call] = true
		g, err := s.Segment(t.Context(), id)
		switch {
		case err == nil && g.Held():
			v.held++ // its call is inconclusive
		case err != nil && w.mayLose && errors.Is(err, store.ErrNotFound):
			v.lost++
			lost[call] = true
		case err != nil:
			v.lost++
			t.Errorf("segment %s of call %s was promised and is lost: %v", id, call, err)
		case !g.Settled():
			v.undecided++
			t.Errorf("segment %s of call %s is %s", id, call, g.State)
		case g.State == store.SegmentFailed && g.Reason != "in_doubt":
			v.failed++
			t.Errorf("segment %s of call %s failed: %s %s", id, call, g.Reason, g.Detail)
		}
	}
	if err := s.Export(t.Context(), func(table string, row map[string]any) error {
		switch table {
		case "segment":
			segments[fmt.Sprint(row["audio_sha256"])]++
		case "call":
			clear[fmt.Sprint(row["id"])] = row["decision"] == "clear"
		case "part":
			if call := fmt.Sprint(row["call_id"]); row["how"] != "" {
				broken[call] = true
			}
		case "audit":
			if what := row["what"]; what == store.AuditResent || what == store.AuditSurplus || what == store.AuditRecovered {
				v.audited++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for call := range broken { // also if no segment was cut before
		if clear[call] {
			t.Errorf("call %s is clear although its recording was interrupted", call)
		}
	}
	for call := range lost {
		if clear[call] {
			t.Errorf("call %s is clear although one of its segments is lost", call)
		}
	}
	for call := range calls {
		c, err := s.Call(t.Context(), call)
		if lost[call] && errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil || !c.Final || c.State != store.CallEnded || c.Decisions == 0 {
			v.undecided++
			t.Errorf("call %s has no decision: %+v %v", call, c, err)
		}
	}
	for sha, k := range uploads {
		v.paidTwice += max(k-segments[sha], 0)
	}
	if v.paidTwice > v.audited && !w.rolledBack {
		t.Errorf("%d uploads were paid twice, %d are audited", v.paidTwice, v.audited)
	}
	if _, _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	w.judgeHooks(n)
	return v
}

// judgeHooks checks the webhooks: each decision was announced under one id, and each id has one body.
func (w *world) judgeHooks(n *node) {
	w.inbox.mu.Lock()
	defer w.inbox.mu.Unlock()
	texts := map[string]string{}
	for id, bodies := range w.inbox.ids {
		if len(bodies) != 1 {
			w.t.Errorf("message %s has %d different bodies", id, len(bodies))
		}
		for body := range bodies {
			if other, ok := texts[body]; ok {
				w.t.Errorf("messages %s and %s have the same body", id, other)
			}
			texts[body] = id
		}
	}
	decisions := w.count(n, "SELECT count(*) FROM decision")
	if sent := len(w.inbox.ids); sent != decisions && (!w.rolledBack || sent < decisions) {
		w.t.Errorf("%d decisions, %d messages about them", decisions, len(w.inbox.ids))
	}
}

// durations holds durations by the names of tests, over all runs of go test -count.
type durations struct {
	mu sync.Mutex
	by map[string][]time.Duration
}

// drains holds how long the drains took.
var drains = durations{by: map[string][]time.Duration{}}

func (d *durations) add(name string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.by[name] = append(d.by[name], took)
}

// summary reports median and worst of each test that ran several times.
func (d *durations) summary() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.by)) {
		all := slices.Sorted(slices.Values(d.by[name]))
		if len(all) < 2 {
			continue
		}
		if err := appendReport(fmt.Sprintf(
			"| %s, %d runs | drained in %.1f s (median), %.1f s (worst) |",
			name, len(all), all[len(all)/2].Seconds(), all[len(all)-1].Seconds(),
		)); err != nil {
			return err
		}
	}
	return nil
}

// report writes a line of the tables in docs/measurements.md. make crash collects them in out/crash.md.
func (w *world) report(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.t.Log(line)
	if err := appendReport(strings.TrimSpace(line)); err != nil {
		w.t.Error(err)
	}
}

func appendReport(line string) error {
	file := os.Getenv("CALLSCREEN_CRASH_REPORT")
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
