package crash_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	return eventually(w.t, within, "drain", func() (bool, string) {
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
		return spooled+open+live+hooks == 0, fmt.Sprintf(
			"%d in the spool, %d segments open, %d calls not final, %d messages\n%s",
			spooled,
			open,
			live,
			hooks,
			logs,
		)
	})
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
	clear, broken := map[string]bool{}, map[string]bool{}
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
			if what := row["what"]; what == store.AuditResent || what == store.AuditSurplus {
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
	for call := range calls {
		c, err := s.Call(t.Context(), call)
		if err != nil || !c.Final || c.State != store.CallEnded || c.Decisions == 0 {
			v.undecided++
			t.Errorf("call %s has no decision: %+v %v", call, c, err)
		}
	}
	for sha, k := range uploads {
		v.paidTwice += max(k-segments[sha], 0)
	}
	if v.paidTwice > v.audited {
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
	if decisions := w.count(n, "SELECT count(*) FROM decision"); len(w.inbox.ids) != decisions {
		w.t.Errorf("%d decisions, %d messages about them", decisions, len(w.inbox.ids))
	}
}

// report writes a line of the tables in docs/measurements.md. make crash collects them in out/crash.md.
func (w *world) report(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.t.Log(line)
	file := os.Getenv("CALLSCREEN_CRASH_REPORT")
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.WriteString(strings.TrimSpace(line) + "\n"); err != nil {
		w.t.Error(err)
	}
}
