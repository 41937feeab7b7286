package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

func TestNeighbours(t *testing.T) {
	server := storetest.StartPostgres(t)
	for name, run := range map[string]func(*testing.T, string){
		"a node that was taken for dead cannot write":        fenced,
		"a take-over waits for a write under way":            takeOverWaits,
		"deliveries of a dead or stopped node are released":  orphans,
		"the second process with a name is refused":          secondProcess,
		"frozen connections are replaced":                    frozen,
		"a hung query ends":                                  hung,
		"a changed address of the host is followed":          failOver,
		"a server that became a standby is left":             standby,
		"all nodes have the time of the database":            oneTime,
		"a lost transaction does not hold the row of a node": lostTransaction,
		"rows of gone nodes are removed":                     goneNodes,
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

// soon returns a context for one step of a test.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// member opens a store as a node does.
func member(t *testing.T, opt store.Options, node, origin string) *store.Store {
	t.Helper()
	opt.Owner, opt.Dir = true, t.TempDir()
	s := open(t, opt)
	if err := s.Join(soon(t), node, origin); err != nil {
		t.Fatal(err)
	}
	return s
}

func beatOf(t *testing.T, s *store.Store, node string) store.NodeBeat {
	t.Helper()
	all, err := s.Beats(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if b.Node == node {
			return b
		}
	}
	t.Fatalf("no row of node %s", node)
	return store.NodeBeat{}
}

func nothing(*store.Tx) error { return nil }

func fenced(t *testing.T, url string) {
	a, b := member(t, store.Options{URL: url}, "a", "1"), member(t, store.Options{URL: url}, "b", "2")
	ctx := soon(t)
	if err := a.InTx(ctx, nothing); err != nil {
		t.Fatal(err)
	}
	before := a.InTenure(ctx)
	if _, done, err := b.TakeOver(ctx, beatOf(t, b, "a")); err != nil || !done {
		t.Fatal(done, err)
	}
	now := time.Now()
	_, _, began := a.BeginSubmit(ctx, "s", "a", now, true)
	_, saved := a.SaveJob(ctx, "s", "j", "a", now)
	_, cleaned := a.AgainCleaned(ctx, "s", "j", now)
	_, _, claimed := a.ClaimDelivery(ctx, "crm", now, time.Minute)
	_, released := a.Release(ctx, "a")
	for what, err := range map[string]error{
		"a transaction":        a.InTx(ctx, nothing),
		"a heartbeat":          a.Heartbeat(ctx, "a", 1),
		"start of an upload":   began,
		"job id":               saved,
		"no upload":            a.NotSubmitted(ctx, "s", now),
		"cleaned copy":         cleaned,
		"result of a delivery": a.SaveDelivery(ctx, store.Delivery{}),
		"release":              released,
	} {
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s of a node that was taken for dead: %v", what, err)
		}
	}
	if !errors.Is(claimed, store.ErrNotFound) { // nothing is due, so nothing is written
		t.Error(claimed)
	}
	if err := b.InTx(ctx, nothing); err != nil {
		t.Error(err)
	}
	if err := a.Rejoin(ctx); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.InTx(ctx, nothing), a.InTx(store.InAnyTenure(before), nothing), a.Heartbeat(ctx, "a", 1)); err != nil {
		t.Error(err)
	}
	if err := a.InTx(before, nothing); !errors.Is(err, store.ErrFenced) {
		t.Errorf("work of before the take-over goes on: %v", err)
	}
	if err := a.InTx(a.InTenure(ctx), nothing); err != nil {
		t.Error(err)
	}
}

// orphans: a delivery that was under way at a node is due for the others once the node was taken over or has left. Those of other
// nodes stay theirs.
func orphans(t *testing.T, url string) {
	a, b := member(t, store.Options{URL: url}, "a", "1"), member(t, store.Options{URL: url}, "b", "2")
	ctx := soon(t)
	if err := a.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.AddMessage(ctx, store.Message{ID: "m", Event: "e", CreatedAt: a.Due(), Body: "{}"}, []string{"crm", "log", "own"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	claim := func(s *store.Store, endpoint string, want error) {
		t.Helper()
		// On a busy machine the nodes measure the clock of the database with an error.
		if _, _, err := s.ClaimDelivery(ctx, endpoint, s.Due().Add(time.Minute), time.Hour); !errors.Is(err, want) {
			t.Errorf("claim of %s: %v, want %v", endpoint, err, want)
		}
	}
	claim(a, "crm", nil)
	claim(b, "own", nil)
	claim(b, "crm", store.ErrNotFound)
	if nodes, err := b.Working(ctx); err != nil || !nodes["a"] {
		t.Errorf("a node with a delivery under way is not at work: %v %v", nodes, err)
	}
	if _, done, err := b.TakeOver(ctx, beatOf(t, b, "a")); err != nil || !done {
		t.Fatal(done, err)
	}
	claim(b, "crm", nil)
	if err := a.Rejoin(ctx); err != nil {
		t.Fatal(err)
	}
	claim(a, "log", nil)
	if err := a.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	claim(b, "log", nil)
	claim(b, "own", store.ErrNotFound)
}

func takeOverWaits(t *testing.T, url string) {
	a, b := member(t, store.Options{URL: url}, "a", "1"), member(t, store.Options{URL: url}, "b", "2")
	ctx := soon(t)
	begun, finish, taken := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	beat := beatOf(t, b, "a")
	wrote := make(chan error, 1)
	go func() {
		wrote <- a.InTx(ctx, func(*store.Tx) error { close(begun); <-finish; return nil })
	}()
	<-begun
	if err := a.Heartbeat(ctx, "a", 1); err != nil { // a heartbeat does not wait for it
		t.Error(err)
	}
	beat = beatOf(t, b, "a")
	go func() { _, _, err := b.TakeOver(ctx, beat); taken <- err }()
	select {
	case err := <-taken:
		t.Errorf("taken over during a write: %v", err)
	case <-time.After(200 * time.Millisecond): // the absence of an event
	}
	close(finish)
	if err := errors.Join(<-wrote, <-taken); err != nil {
		t.Error(err)
	}
	if err := a.InTx(ctx, nothing); !errors.Is(err, store.ErrFenced) {
		t.Error(err)
	}
}

func secondProcess(t *testing.T, url string) {
	ctx := soon(t)
	first := member(t, store.Options{URL: url}, "n", "host-1 /data 1:1")
	stop := make(chan struct{})
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = first.Heartbeat(ctx, "n", 1)
			case <-stop:
				return
			}
		}
	}()
	second := open(t, store.Options{URL: url})
	err := second.Join(ctx, "n", "host-2 /data 1:1")
	close(stop)
	<-beating
	if !errors.Is(err, store.ErrNodeInUse) || !strings.Contains(err.Error(), "n, at host-1 /data 1:1") {
		t.Errorf("the second process with this name: %v", err)
	}
	if err := errors.Join(first.Heartbeat(ctx, "n", 1), first.InTx(ctx, nothing)); err != nil {
		t.Errorf("the first process is disturbed: %v", err)
	}
	again := open(t, store.Options{URL: url}) // restarted after a crash, with the same data_dir
	if err := again.Join(ctx, "n", "host-1 /data 1:1"); err != nil {
		t.Error(err)
	}
	if err := first.InTx(ctx, nothing); !errors.Is(err, store.ErrFenced) {
		t.Errorf("the process before the restart can write: %v", err)
	}
	if err := again.Leave(ctx); err != nil { // a clean stop, then the data_dir moves
		t.Error(err)
	}
	if err := second.Join(ctx, "n", "host-2 /data 1:1"); err != nil {
		t.Error(err)
	}
}

// frozen freezes all connections of a node. New ones pass.
func frozen(t *testing.T, url string) {
	proxy, through := storetest.NewProxy(t, url, "127.0.0.1:0", "")
	s := member(t, store.Options{URL: through, MaxConns: 8}, "a", "1")
	busy(t, s, 8)
	if proxy.Open() < 8 {
		t.Fatalf("%d connections", proxy.Open())
	}
	proxy.Freeze(false)
	tries := 0
	for {
		tries++
		ctx, cancel := context.WithTimeout(soon(t), time.Second)
		err := s.Heartbeat(ctx, "a", 1)
		cancel()
		if err == nil {
			break
		}
		if tries == 4 {
			t.Fatalf("no heartbeat after %d attempts: %v", tries, err)
		}
	}
	if err := s.InTx(soon(t), nothing); err != nil {
		t.Error(err)
	}
}

// busy opens a number of connections.
func busy(t *testing.T, s *store.Store, n int) {
	t.Helper()
	var waiting atomic.Int64
	all, done := make(chan struct{}), make(chan error, n)
	for range n {
		go func() {
			done <- s.InTx(soon(t), func(*store.Tx) error {
				if int(waiting.Add(1)) == n {
					close(all)
				}
				<-all
				return nil
			})
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// hung freezes connections for good. A query without a deadline of its own ends all the same.
func hung(t *testing.T, url string) {
	proxy, through := storetest.NewProxy(t, url, "127.0.0.1:0", "")
	s := member(t, store.Options{URL: through}, "a", "1")
	proxy.Freeze(true)
	if _, err := s.Backlog(soon(t)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a query over a frozen connection ended with %v", err)
	}
	if err := s.InTx(soon(t), nothing); err == nil {
		t.Error("a transaction over a frozen connection was committed")
	}
	proxy.Thaw()
	if err := s.InTx(soon(t), nothing); err != nil {
		t.Error(err)
	}
}

// failOver gives the host of the database another address. The old one does not answer any more.
func failOver(t *testing.T, url string) {
	before, through := storetest.NewProxy(t, url, "127.0.0.1:0", "db.test")
	after, _ := storetest.NewProxy(t, url, "127.0.0.2:"+before.Port(), "")
	var address atomic.Value
	address.Store("127.0.0.1")
	s := member(t, store.Options{URL: through, Lookup: func(_ context.Context, host string) ([]string, error) {
		if host != "db.test" {
			return nil, fmt.Errorf("unknown host %s", host)
		}
		return []string{address.Load().(string)}, nil
	}}, "a", "1")
	busy(t, s, 4)
	before.Freeze(true)
	address.Store("127.0.0.2")
	ctx, cancel := context.WithTimeout(soon(t), time.Second)
	defer cancel()
	if err := s.Heartbeat(ctx, "a", 1); err == nil {
		t.Fatal("the connection is not frozen")
	}
	if err := errors.Join(s.Heartbeat(soon(t), "a", 1), s.InTx(soon(t), nothing)); err != nil || after.Served() == 0 {
		t.Errorf("%v, %d connections to the new address", err, after.Served())
	}
}

// standby leaves connections to a server that only reads now, as after a fail-over.
func standby(t *testing.T, url string) {
	s := member(t, store.Options{URL: url}, "a", "1")
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name string
	if err := db.QueryRowContext(soon(t), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	set := func(value string) {
		t.Helper()
		if _, err := db.ExecContext(soon(t), "SET default_transaction_read_only = off"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(soon(t), "ALTER DATABASE "+name+" SET default_transaction_read_only = "+value); err != nil {
			t.Fatal(err)
		}
	}
	set("on")
	if _, err := db.ExecContext(soon(t), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 "+
		"AND pid <> pg_backend_pid()", name); err != nil {
		t.Fatal(err)
	}
	refused := false
	for range 5 {
		err := s.Heartbeat(soon(t), "a", 1)
		refused = refused || err != nil && strings.Contains(err.Error(), "25006")
	}
	if !refused {
		t.Fatal("the server is no standby")
	}
	set("off")
	_ = s.Heartbeat(soon(t), "a", 1) // leaves the connections
	if err := s.Heartbeat(soon(t), "a", 1); err != nil {
		t.Errorf("a server that is no standby any more: %v", err)
	}
}

func oneTime(t *testing.T, url string) {
	right := open(t, store.Options{URL: url})
	for _, ahead := range []time.Duration{2 * time.Minute, -2 * time.Minute, 25 * time.Hour} {
		wrong := open(t, store.Options{URL: url, Clock: func() time.Time { return time.Now().Add(ahead) }})
		if d := wrong.Due().Sub(right.Due()); d.Abs() > 5*time.Second {
			t.Errorf("leases of a node that is ahead by %v are off by %v", ahead, d)
		}
		if d := wrong.ClockOffset() - ahead; d.Abs() > 5*time.Second {
			t.Errorf("ahead by %v, off by %v", ahead, d)
		}
	}
}

// lostTransaction freezes a node in the middle of a write. The server ends the transaction, and the take-over goes on.
func lostTransaction(t *testing.T, url string) {
	proxy, through := storetest.NewProxy(t, url, "127.0.0.1:0", "")
	a, b := member(t, store.Options{URL: through}, "a", "1"), member(t, store.Options{URL: url}, "b", "2")
	begun := make(chan struct{})
	wrote := make(chan error, 1)
	go func() {
		wrote <- a.InTx(soon(t), func(*store.Tx) error {
			proxy.Freeze(true)
			close(begun)
			return nil // the commit is lost
		})
	}()
	<-begun
	beat := beatOf(t, b, "a")
	var done bool
	for tries := 0; !done; tries++ {
		var err error
		if _, done, err = b.TakeOver(soon(t), beat); !done && tries == 2 {
			t.Fatalf("not taken over: %v", err)
		}
	}
	if err := <-wrote; err == nil {
		t.Error("the lost commit succeeded")
	}
}

func goneNodes(t *testing.T, url string) {
	s := member(t, store.Options{URL: url}, "a", "1")
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(soon(t), "INSERT INTO node (id, started_ms, seen_ms) SELECT 'gone-' || n, 1, 1 "+
		"FROM generate_series(1, 20) n"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(soon(t), "INSERT INTO part (call_id, part, node) VALUES ('c', 1, 'gone-7')"); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{ // what only a gone node can delete keeps its row, which tells since when it is gone
		"INSERT INTO segment (id, call_id, part, node, leg, seq, offset_ms, duration_ms, speech_ms, lost_ms, recorded_ms, state, " +
			"audio_key, audio_node, rate) VALUES ('s', 'd', 1, 'gone-8', 'caller', 0, 0, 1, 1, 0, 1, 'scored', 'k', 'gone-8', 16000)",
		"INSERT INTO erased_audio (segment_id, call_id, node, audio_key, erased_ms) VALUES ('e', 'e', 'gone-9', 'k', 1)",
	} {
		if _, err := db.ExecContext(soon(t), q); err != nil {
			t.Fatal(err)
		}
	}
	kept := map[string]bool{"a": true, "gone-7": true, "gone-8": true, "gone-9": true}
	all, err := s.Beats(soon(t))
	if err != nil || len(all) != 21 {
		t.Fatal(len(all), err)
	}
	for _, b := range all {
		done, err := s.RemoveNode(soon(t), b)
		if want := !kept[b.Node]; err != nil || done != want {
			t.Errorf("%s removed: %v, %v", b.Node, done, err)
		}
	}
	if working, err := s.Working(soon(t)); err != nil || len(working) != 1 || !working["gone-7"] {
		t.Error(working, err)
	}
}
