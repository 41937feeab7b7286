package crash_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
)

// apiFault returns the duration of a fault of the API: 5 min with CALLSCREEN_CHAOS, less in make crash.
func apiFault(t *testing.T) time.Duration {
	if times(t) > 10 && os.Getenv("CALLSCREEN_CHAOS") != "" {
		return 5 * time.Minute
	}
	return 30 * time.Second
}

// accepted passes a request on to the API, which accepts an upload, and drops its answer.
func (w *world) accepted(r *http.Request) { w.stand.ServeHTTP(httptest.NewRecorder(), r) }

// fault is a way in which the API misbehaves.
type fault struct {
	answer func(w *world) http.HandlerFunc
	delay  string // of /readyz
}

// apiFaults returns the faults of an API that is up.
func apiFaults() map[string]fault {
	return map[string]fault{
		"hangs": {func(w *world) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) {
				w.accepted(r)
				<-r.Context().Done()
			}
		}, "analysis"},
		"answers 504 after the body": {func(w *world) http.HandlerFunc {
			return func(out http.ResponseWriter, r *http.Request) {
				w.accepted(r)
				http.Error(out, "gateway timeout", http.StatusGatewayTimeout)
			}
		}, "analysis"},
		"answers uploads with 504, polls as usual": {func(w *world) http.HandlerFunc {
			return func(out http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					w.stand.ServeHTTP(out, r)
					return
				}
				w.accepted(r)
				http.Error(out, "gateway timeout", http.StatusGatewayTimeout)
			}
		}, "analysis"},
		"answers 200 with HTML": {func(w *world) http.HandlerFunc {
			return func(out http.ResponseWriter, r *http.Request) {
				w.accepted(r)
				out.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(out, "<html>maintenance</html>")
			}
		}, "analysis"},
		"answers 402": {func(*world) http.HandlerFunc {
			return func(out http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				http.Error(out, "no credit", http.StatusPaymentRequired)
			}
		}, "account"},
	}
}

// An API that misbehaves in other ways than being down loses no segment and fails none for good, and nothing is paid for twice
// without an audit line. The API accepts and charges every upload that its answer leaves in doubt.
func TestTheAPIMisbehaves(t *testing.T) {
	t.Parallel()
	away := apiFault(t)
	for name, c := range apiFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "", simulator.Script{Latency: 200 * time.Millisecond})
			n := w.node(temp(t))
			n.start()
			p := w.publishers(3, func() string { return n.addr })
			time.Sleep(4 * time.Second)
			answer := c.answer(w)
			w.fault.Store(&answer)
			start, seen := time.Now(), ""
			eventually(t, time.Minute, "/readyz names the fault", func() (bool, string) {
				seen = n.health()
				return strings.Contains(seen, `"ready":true`) && strings.Contains(seen, `"`+c.delay+`":"`), seen + n.tail()
			})
			time.Sleep(away - time.Since(start))
			w.fault.Store(nil)
			w.api.stop() // requests that hang end as those of a gateway that is restarted
			w.api.start(w.api.addr)
			time.Sleep(2 * time.Second)
			p.stop()
			took := w.drain(3*time.Minute, n)
			v := w.judge(n)
			v.drained = took
			resends := w.count(n, "SELECT count(*) FROM audit WHERE what = 'segment.resent'")
			w.report(
				"| the API %s for %v | %v, failed for good %d, wait for a person %d, %d resends audited | `/readyz`: ready, %s |",
				name,
				away,
				v,
				v.failed,
				v.held,
				resends,
				fmt.Sprintf("`delayed.%s`", c.delay),
			)
		})
	}
}
