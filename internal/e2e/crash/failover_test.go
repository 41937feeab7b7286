package crash_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/store/storetest"
)

// The replica of PostgreSQL is promoted while two nodes work. It had fallen behind by seconds when the primary died. The nodes
// have a list of both servers. With synchronous replication nothing is lost. With asynchronous replication the primary has
// committed what the replica does not have: the nodes deliver it again if their spools keep it, and no call is clear without it.
func TestTheReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	long(t)
	for name, c := range map[string]promotion{
		"synchronous":                        {synchronous: true},
		"asynchronous, `spool.keep: 10s`":    {more: "spool: {keep: 10s}"},
		"asynchronous, without `spool.keep`": {mayLose: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.mayLose && os.Getenv("CALLSCREEN_CHAOS") == "" {
				t.Skip("it only shows how much is lost: set CALLSCREEN_CHAOS=1m")
			}
			promoted(t, name, c)
		})
	}
}

// promotion is a fail-over to a replica.
type promotion struct {
	synchronous, mayLose bool
	more                 string // of the configuration
}

func promoted(t *testing.T, name string, c promotion) {
	pair := storetest.StartPair(t, c.synchronous)
	url, replica := pair.Database()
	w := newWorld(t, url, simulator.Script{Latency: 700 * time.Millisecond})
	w.rolledBack, w.mayLose = !c.synchronous, c.mayLose
	shared := filepath.Join(t.TempDir(), "audio")
	nodes := make([]*node, 2)
	var calls []*callers
	for i := range nodes {
		n := w.node(temp(t))
		n.more = fmt.Sprintf("audio: %q\n%s", shared, c.more)
		n.start()
		nodes[i] = n
		calls = append(calls, w.publishersOf(uint64(i+1), fmt.Sprint("call-", i), 3, func() string { return n.addr }))
	}
	time.Sleep(8 * time.Second)
	segments := func() int { return w.count(nodes[0], "SELECT count(*) FROM segment") }
	pair.Stream.Freeze(true) // the replica falls behind
	time.Sleep(4 * time.Second)
	ahead := segments()
	pair.Primary.Stop(syscall.SIGQUIT)
	w.database = replica
	copied := w.states()
	down := time.Now()
	pair.Promote()
	eventually(t, time.Minute, "the nodes write to the promoted server", func() (bool, string) {
		n := segments()
		return n > len(copied), fmt.Sprintf("%d segments, %d before\n%s", n, len(copied), nodes[0].tail())
	})
	back := time.Since(down)
	time.Sleep(4 * time.Second)
	for _, p := range calls {
		p.stop()
	}
	took := w.drain(3*time.Minute, nodes...)
	v := w.judge(nodes[0])
	v.drained = took
	after := w.states()
	for id, state := range copied {
		if now, ok := after[id]; !ok || state != "recorded" && state != "submitted" && now != state {
			t.Errorf("segment %s was %s on the replica and is %q", id, state, now)
		}
	}
	w.report(
		"| the replica is promoted, %s, %d segments behind | %v, %d uploads audited as repeats | the nodes write again after %.1f s |",
		name, ahead-len(copied), v, v.audited, back.Seconds(),
	)
}

// states returns the states of all segments by their ids.
func (w *world) states() map[string]string {
	w.t.Helper()
	db, err := sql.Open("pgx", w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(w.t.Context(), "SELECT id, state FROM segment WHERE seq >= 0 AND id NOT LIKE 'missing-%'")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	states := map[string]string{}
	for rows.Next() {
		var id, state string
		if err := rows.Scan(&id, &state); err != nil {
			w.t.Fatal(err)
		}
		states[id] = state
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return states
}
