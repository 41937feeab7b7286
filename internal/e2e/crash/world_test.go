package crash_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/analyzer/simulator"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := drains.summary(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// binary builds the program once for all tests.
var binary = sync.OnceValues(func() (string, error) { return build() })

// build builds the program as releases are, except for flags.
func build(flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "callscreen-crash-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "callscreen")
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", file, "callscreen/cmd/callscreen")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
}

// service is an HTTP server at a fixed address that can be stopped and restarted.
type service struct {
	t       *testing.T
	addr    string
	handler http.Handler
	server  *http.Server
	done    chan struct{}
}

func newService(t *testing.T, h http.Handler) *service {
	s := &service{t: t, handler: h}
	s.start("127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *service) start(addr string) {
	s.t.Helper()
	var l net.Listener
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if l, err = net.Listen("tcp", addr); err == nil {
			break
		} else if time.Now().After(end) {
			s.t.Fatal(err)
		}
	}
	s.addr = l.Addr().String()
	s.server = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	s.done = make(chan struct{})
	go func(server *http.Server, done chan struct{}) {
		defer close(done)
		_ = server.Serve(l)
	}(s.server, s.done)
}

// stop drops every connection.
func (s *service) stop() {
	if s.server == nil {
		return
	}
	_ = s.server.Close()
	<-s.done
	s.server = nil
}

// inbox receives webhooks and stores their ids and bodies.
type inbox struct {
	mu  sync.Mutex
	ids map[string]map[string]int // bodies by id
	got []arrival
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.Header.Get("Webhook-Id")
	if b.ids[id] == nil {
		b.ids[id] = map[string]int{}
	}
	b.ids[id][string(body)]++
	b.got = append(b.got, arrival{id, strings.TrimSuffix(r.URL.Path, "/hook"), time.Now()})
}

// arrival is a webhook that arrived.
type arrival struct {
	id, from string // from is the prefix of the node
	at       time.Time
}

// world holds the environment of the sidecars of a test: analysis API, webhook receiver and database. It outlives them.
type world struct {
	t        *testing.T
	bin      string
	database string // of PostgreSQL; "" for SQLite
	stand    *simulator.Server
	api      *service
	fault    atomic.Pointer[http.HandlerFunc] // answers all requests to the API while it is set
	inbox    *inbox
	hooks    *service
	secret   string
	// rolledBack is whether the database has lost commits. Decisions and audit lines among them are gone.
	rolledBack bool
	// mayLose is whether segments among them may be lost. Then their calls must not be clear.
	mayLose bool

	mu       sync.Mutex
	promised map[string]string // segments that the log reported as safe, and their calls
	uploads  []upload          // of nodes with a prefix
}

func newWorld(t *testing.T, database string, script simulator.Script) *world {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t:        t,
		bin:      bin,
		database: database,
		stand:    simulator.New(script),
		inbox:    &inbox{ids: map[string]map[string]int{}},
		promised: map[string]string{},
	}
	w.api, w.hooks = newService(t, http.HandlerFunc(w.observe)), newService(t, w.inbox)
	w.secret = filepath.Join(t.TempDir(), "hook.secret")
	if err := os.WriteFile(w.secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	if database != "" {
		if err := store.Migrate(t.Context(), store.Options{URL: database}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// answerLate accepts an upload at once and responds after a delay. A sidecar that is killed in between does not know the
// outcome.
func (w *world) answerLate(out http.ResponseWriter, r *http.Request) {
	if fault := w.fault.Load(); fault != nil {
		(*fault)(out, r)
		return
	}
	if r.Method != http.MethodPost {
		w.stand.ServeHTTP(out, r)
		return
	}
	answer := httptest.NewRecorder()
	w.stand.ServeHTTP(answer, r)
	t := time.NewTimer(time.Duration(50+rand.IntN(250)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
		return
	}
	maps.Copy(out.Header(), answer.Header())
	out.WriteHeader(answer.Code)
	_, _ = out.Write(answer.Body.Bytes())
}

func (w *world) promise(call, segment string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.promised[segment] = call
}

// open opens the database of a node, in addition to the program.
func (w *world) open(n *node) *store.Store {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), store.Options{URL: w.database, Dir: n.dir, MaxConns: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// count returns the number that a query on the database yields.
func (w *world) count(n *node, query string) (sum int) {
	w.t.Helper()
	driver, dsn := "pgx", w.database
	if dsn == "" {
		driver, dsn = "sqlite", "file:"+filepath.Join(n.dir, "callscreen.db")+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(w.t.Context(), query).Scan(&sum); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return sum
}

// callers publish one call after the other until stop is called.
type callers struct {
	stop func() // waits for the end of the calls in progress
	cut  func() // drops the calls in progress; the next ones begin at once
}

// publishers publishes the given number of calls at a time to the node that target returns.
func (w *world) publishers(calls int, target func() string) *callers {
	return w.publishersOf(1, "call", calls, target)
}

// publishersOf is publishers with call ids that begin with a prefix. Another seed publishes other stretches of speech.
func (w *world) publishersOf(seed uint64, prefix string, calls int, target func() string) *callers {
	media, err := publish.Opus(bytes.NewReader(demo.Human))
	if err != nil {
		w.t.Fatal(err)
	}
	stopping := make(chan struct{})
	var mu sync.Mutex
	round, drop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for p := range calls {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), seed))
			for n := 0; ; {
				select {
				case <-stopping:
					return
				default:
				}
				mu.Lock()
				ctx := round
				mu.Unlock()
				seconds := 4 + random.IntN(7)
				begin := random.IntN(max(len(media.Packets)-seconds*50, 1))
				part := publish.Media{Codec: media.Codec, Packets: media.Packets[begin:min(begin+seconds*50, len(media.Packets))]}
				ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
				sum, err := publish.Run(
					ctx,
					&part,
					&publish.Options{To: fmt.Sprintf("http://%s/whip/%s-%d-%d/caller?queue=q%d", target(), prefix, p, n, p%3)},
				)
				cancel()
				if err != nil || sum.Err() != nil {
					time.Sleep(100 * time.Millisecond)
					if random.IntN(2) == 0 {
						continue // the same call is resumed, as after a lost connection
					}
				}
				n++
			}
		})
	}
	stop := sync.OnceFunc(func() {
		close(stopping)
		all.Wait()
		drop()
	})
	w.t.Cleanup(func() {
		mu.Lock()
		drop()
		mu.Unlock()
		stop()
	})
	return &callers{stop: stop, cut: func() {
		mu.Lock()
		defer mu.Unlock()
		drop()
		round, drop = context.WithCancel(context.Background())
	}}
}

// eventually waits until done returns true. It fails the test after a limit that allows for slow machines.
func eventually(t *testing.T, within time.Duration, what string, done func() (bool, string)) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		ok, state := done()
		if ok {
			return time.Since(start)
		}
		if time.Since(start) > within {
			t.Fatalf("%s: not reached within %v: %s", what, within, state)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// get sends a GET request to a node. It returns an error if the node does not respond.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return string(data), errors.New(resp.Status)
	}
	return strings.TrimSpace(string(data)), nil
}
