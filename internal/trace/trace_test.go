package trace_test

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/screen"
	"callscreen/internal/testkit"
	"callscreen/internal/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An unreachable, silent or broken collector delays nothing, except the end of the program for a moment.
func TestACollectorThatIsNoneHoldsNothingUp(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	hold := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer silent.Close()
	defer close(hold)
	broken := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }),
	)
	defer broken.Close()
	for name, endpoint := range map[string]string{"gone": "http://" + gone.Addr().String(), "silent": silent.URL, "broken": broken.URL} {
		t.Run(name, func(t *testing.T) {
			var log testkit.Log
			tracer, err := trace.New(t.Context(), trace.Config{Endpoint: endpoint, Version: "1", Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				now := time.Now()
				for range 20_000 {
					tracer.Step(screen.Step{
						Name:  screen.StepSubmit,
						Call:  "c",
						Began: now,
						Start: now,
						End:   now,
					})
				}
				done <- tracer.Close()
			}()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it hangs")
			}
			if lines := strings.Count(log.String(), "\n"); lines > 3 || name != "silent" && lines == 0 || log.Errors() > 0 {
				t.Errorf("%d lines about it:\n%s", lines, log.String())
			}
		})
	}
}
