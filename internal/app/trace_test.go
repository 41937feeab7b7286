package app_test

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// receiver takes spans as a collector does.
type receiver struct {
	mu    sync.Mutex
	spans []*v1.Span
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(data, &request) != nil {
		http.Error(w, "no spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// A call is one trace: all that was done about it, under one root, with its id and with times that make sense.
func TestACallIsOneTrace(t *testing.T) {
	t.Parallel()
	got := &receiver{}
	collect := httptest.NewServer(got)
	defer collect.Close()
	crm := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer crm.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) {
		c.Trace.Endpoint = collect.URL
		c.Webhooks = []config.Webhook{{Name: "crm", URL: crm.URL, Events: []string{"call.flagged"}, SecretFiles: []string{secret}}}
	})
	before := time.Now()
	if sum, _ := s.play(t.Context(), demo.Synthetic, "traced", "caller", 8, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	if r := s.ended("traced"); r.Decision != "flagged" {
		t.Fatalf("%+v", r.Report)
	}
	s.stop()
	got.mu.Lock()
	defer got.mu.Unlock()
	traces, seen, roots := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, span := range got.spans {
		traces[hex.EncodeToString(span.TraceId)], seen[span.Name] = true, true
		if len(span.ParentSpanId) == 0 {
			roots[hex.EncodeToString(span.SpanId)] = true
		}
		call := ""
		for _, a := range span.Attributes {
			if a.Key == "callscreen.call" {
				call = a.Value.GetStringValue()
			}
		}
		start, end := time.Unix(0, int64(span.StartTimeUnixNano)), time.Unix(0, int64(span.EndTimeUnixNano))
		if call != "traced" || end.Before(start) || start.Before(before.Add(-time.Second)) || end.After(time.Now().Add(time.Second)) ||
			span.GetStatus().GetCode() == v1.Status_STATUS_CODE_ERROR {
			t.Errorf("%v", span)
		}
	}
	if want := []string{"call", "decide", "ingest", "poll", "segment", "submit", "webhook"}; !slices.Equal(
		slices.Sorted(maps.Keys(seen)),
		want,
	) {
		t.Errorf("spans are %v, want %v", slices.Sorted(maps.Keys(seen)), want)
	}
	if len(traces) != 1 || len(roots) != 1 {
		t.Errorf("%d traces, %d roots, want one", len(traces), len(roots))
	}
	for _, span := range got.spans {
		if len(span.ParentSpanId) > 0 && !roots[hex.EncodeToString(span.ParentSpanId)] {
			t.Errorf("%s is not under the call", span.Name)
		}
	}
}
