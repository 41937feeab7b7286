package hook_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/hook"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience limits the wait for an expected event.
const patience = 30 * time.Second

// watched is a store that reports saved deliveries and can fail on request.
type watched struct {
	*store.Store
	saved chan store.Delivery
	mu    sync.Mutex
	save  error  // of the next SaveDelivery
	look  error  // of the next Disabled
	asked func() // called by each Disabled, if not nil
}

func (w *watched) SaveDelivery(ctx context.Context, d store.Delivery) error {
	w.mu.Lock()
	err := w.save
	w.save = nil
	w.mu.Unlock()
	if err == nil {
		err = w.Store.SaveDelivery(ctx, d)
	}
	w.saved <- d
	return err
}

func (w *watched) Disabled(ctx context.Context, name string) (time.Time, string, error) {
	w.mu.Lock()
	err := w.look
	w.look = nil
	asked := w.asked
	w.mu.Unlock()
	if asked != nil {
		asked()
	}
	if err != nil {
		return time.Time{}, "", err
	}
	return w.Store.Disabled(ctx, name)
}

func (w *watched) fail(save, look error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.save, w.look = save, look
}

// request is a request received by an endpoint.
type request struct {
	header http.Header
	body   string
}

// rig is a dispatcher with a manual clock.
type rig struct {
	t     *testing.T
	store *watched
	hooks *hook.Dispatcher
	log   testkit.Log
	stop  func()

	mu   sync.Mutex
	time time.Time
}

// newRig returns a rig. Its clock starts at the current time, to the second, so that receivers accept the timestamps.
func newRig(t *testing.T, s *store.Store) *rig {
	t.Helper()
	if s == nil {
		s = storetest.SQLite(t, t.TempDir())
	}
	return &rig{t: t, store: &watched{Store: s, saved: make(chan store.Delivery, 1000)}, time: time.Now().Truncate(time.Second)}
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.time
}

// advance moves the clock.
func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	r.time = r.time.Add(d)
	r.mu.Unlock()
	if r.hooks != nil {
		r.hooks.News()
	}
}

// run starts a dispatcher. stop ends it.
func (r *rig) run(cfg hook.Config) {
	r.t.Helper()
	cfg.Store, cfg.Now, cfg.Log = r.store, r.now, slog.New(slog.NewTextHandler(&r.log, nil))
	if cfg.Random == nil {
		cfg.Random = func() float64 { return 0.5 }
	}
	r.hooks = hook.NewDispatcher(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.hooks.Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	r.t.Cleanup(r.stop)
}

// tell stores a message for endpoints.
func (r *rig) tell(id string, endpoints ...string) {
	r.t.Helper()
	if err := r.store.InTx(r.t.Context(), func(tx *store.Tx) error {
		added, err := tx.AddMessage(r.t.Context(), store.Message{
			ID:        id,
			Event:     "call.flagged",
			Call:      "c",
			CreatedAt: r.now(),
			Body:      `{"type":"call.flagged","id":"` + id + `"}`,
		}, endpoints)
		if !added && err == nil {
			err = fmt.Errorf("%s is there already", id)
		}
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	if r.hooks != nil {
		r.hooks.News()
	}
}

// next returns the next attempt with a saved result.
func (r *rig) next() store.Delivery {
	r.t.Helper()
	select {
	case d := <-r.store.saved:
		return d
	case <-time.After(patience):
		r.t.Fatalf("no attempt was made\n%s", r.log.String())
		return store.Delivery{}
	}
}

// none fails the test if an attempt was made. The absence of an event cannot be awaited, so none waits a moment.
func (r *rig) none() {
	r.t.Helper()
	r.hooks.News()
	select {
	case d := <-r.store.saved:
		r.t.Errorf("an attempt was made: %+v", d)
	case <-time.After(30 * time.Millisecond):
	}
}

// endpoint is a server with scripted answers that records its requests.
type endpoint struct {
	url string
	got chan request
}

func newEndpoint(t *testing.T, answer http.HandlerFunc) *endpoint {
	t.Helper()
	e := &endpoint{got: make(chan request, 1000)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // cut off in the middle
		}
		e.got <- request{r.Header.Clone(), string(body)}
		if answer != nil {
			answer(w, r)
		}
	}))
	e.url = server.URL
	t.Cleanup(server.Close)
	return e
}

func (e *endpoint) next(t *testing.T) request {
	t.Helper()
	select {
	case r := <-e.got:
		return r
	case <-time.After(patience):
		t.Fatal("no request came")
		return request{}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func secret(t *testing.T, text string) hook.Secret {
	t.Helper()
	s, err := hook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	noSecret  = "whsec_IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE="
)
