package screen_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// forget deletes rows as a fail-over to a replica does that does not have them yet.
func forget(t *testing.T, n *node, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.dir, "callscreen.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// allOf deletes a call completely.
func allOf() []string {
	return []string{"DELETE FROM segment", "DELETE FROM leg", "DELETE FROM part", "DELETE FROM call", "DELETE FROM river_job"}
}

// endOf deletes the end of a call.
func endOf() []string {
	return []string{"UPDATE part SET ended_ms = 0", "UPDATE call SET state = 'live', final = 0"}
}

func recovered(t *testing.T, n *node, call string) (lines int) {
	t.Helper()
	audit, err := n.store.AuditOf(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range audit {
		if l.What == store.AuditRecovered {
			lines++
		}
	}
	return lines
}

// Segments and the end of a call that the database has lost after their delivery are delivered again, by the same process and by
// the next one. The audit says that their uploads may be repeated.
func TestLostCommitsAreDeliveredAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost  []string
		lines int
		again bool // by the next process
	}{
		"all of the call":                        {allOf(), 2, false},
		"one segment":                            {[]string{"DELETE FROM segment WHERE seq = 1"}, 1, false},
		"the end of the call":                    {endOf(), 0, false},
		"all of the call, and a restart":         {allOf(), 2, true},
		"the end of the call, and a restart":     {endOf(), 0, true},
		"nothing":                                {nil, 0, false},
		"the end, which another node made again": {[]string{"UPDATE part SET how = 'node_lost'"}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keep := options{dir: t.TempDir(), courier: func(c *screen.ForwarderConfig) { c.Keep = time.Hour }}
			n := newNode(t, keep)
			p := n.part("c", 0)
			n.record(p, 2)
			n.drain()
			before := states(n.report("c"))
			own := map[store.PartKey]bool{}
			if n.courier.Parts(own); !own[p.PartKey] {
				t.Error("the node does not answer for a part whose end may be lost")
			}
			for _, e := range n.spool.Entries() {
				if e.Audio {
					t.Errorf("the audio of %s is kept", e.ID)
				}
			}
			forget(t, n, c.lost...)
			if c.again {
				if err := n.store.Close(); err != nil {
					t.Fatal(err)
				}
				n = newNode(t, keep)
			}
			n.courier.CheckKept(t.Context(), time.Now().Add(2*time.Hour))
			n.drain()
			if r := n.report("c"); states(r) != before || r.State != "ended" {
				t.Errorf("%s, was %s: %s", states(r), before, r.State)
			}
			if parts, err := n.store.PartsOf(t.Context(), "c"); err != nil || len(parts) != 1 || parts[0].How != "" {
				t.Errorf("%+v %v", parts, err)
			}
			if lines := recovered(t, n, "c"); lines != c.lines {
				t.Errorf("%d lines in the audit, want %d", lines, c.lines)
			}
			if said := strings.Contains(n.log.String(), "missing in the database"); said != (c.lost != nil && !c.again) {
				t.Errorf("the log says that rows are missing: %v", said)
			}
			n.courier.CheckKept(t.Context(), time.Now().Add(4*time.Hour))
			if left := n.spool.Entries(); len(left) != 0 || n.spool.Stats().Bytes != 0 {
				t.Errorf("%d entries are left, %d bytes", len(left), n.spool.Stats().Bytes)
			}
		})
	}
}

// The end of a call that is delivered again before its segments are is delivered after them too. Known fault: it stayed in the spool,
// and the call was ended as interrupted.
func TestTheEndIsDeliveredAfterItsSegments(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{courier: func(c *screen.ForwarderConfig) { c.Keep = time.Hour }})
	n.record(n.part("c", 0), 2)
	n.drain()
	before := states(n.report("c"))
	forget(t, n, allOf()...)
	n.courier.ReverseKept()
	n.courier.CheckKept(t.Context(), time.Now().Add(2*time.Hour))
	n.drain()
	if r := n.report("c"); states(r) != before || r.State != store.CallEnded || len(r.Warnings) != 0 {
		t.Errorf("%s, %s, %v; before: %s", states(r), r.State, r.Warnings, before)
	}
}
