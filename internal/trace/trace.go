// Package trace exports OpenTelemetry spans of the processing of calls: one trace for each part of a call, across
// nodes.
package trace

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"callscreen/internal/address"
	"callscreen/internal/screen"
)

// Tracer exports spans in the background. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Config configures the export.
type Config struct {
	Endpoint string // OTLP over HTTP; default path /v1/traces
	Version  string
	Log      *slog.Logger
}

const (
	exportTime = 5 * time.Second
	flushTime  = 3 * time.Second
)

// New returns a tracer. Close must be called.
func New(ctx context.Context, cfg Config) (*Tracer, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("trace.endpoint: %w", address.Error(err))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithTimeout(exportTime))
	if err != nil {
		return nil, fmt.Errorf("trace.endpoint: %w", address.Error(err))
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&quiet{SpanExporter: exporter, log: cfg.Log}, sdk.WithExportTimeout(exportTime)),
		sdk.WithIDGenerator(names{}),
		sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithResource(
			resource.NewSchemaless(attribute.String("service.name", "callscreen"), attribute.String("service.version", cfg.Version)),
		),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("callscreen")}, nil
}

// Close sends the remaining spans, within a few seconds.
func (t *Tracer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // an unreachable collector is already logged
	return nil
}

// Step records a finished step.
func (t *Tracer) Step(s screen.Step) {
	began, part := s.Began, s.Part
	if part == 0 {
		part = began.UnixMilli()
	}
	id, root := names{}.of(s.Call, part)
	call := attribute.String("callscreen.call", s.Call)
	if s.Name == screen.StepDecide && s.First { // the root span
		_, span := t.tracer.Start(
			context.WithValue(context.Background(), nameKey{}, named{id, root}),
			"call",
			trace.WithTimestamp(began),
			trace.WithAttributes(call, attribute.String("callscreen.decision", s.Decision)),
		)
		span.End(trace.WithTimestamp(s.End))
	}
	under := trace.ContextWithRemoteSpanContext(
		context.Background(),
		trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: root, TraceFlags: trace.FlagsSampled, Remote: true}),
	)
	_, span := t.tracer.Start(under, s.Name, trace.WithTimestamp(s.Start), trace.WithAttributes(call))
	for key, value := range map[string]string{"callscreen.leg": s.Leg, "callscreen.segment": s.Segment, "callscreen.decision": s.Decision} {
		if value != "" {
			span.SetAttributes(attribute.String(key, value))
		}
	}
	if s.Err != nil {
		span.SetStatus(codes.Error, address.Text(s.Err.Error()))
	}
	span.End(trace.WithTimestamp(s.End))
}

// names derives the ids of traces and root spans, so that every process uses the same ids. Other spans have random ids.
type names struct{}

type nameKey struct{}

type named struct {
	trace trace.TraceID
	root  trace.SpanID
}

// of derives the ids of the trace of a part of a call.
func (names) of(call string, part int64) (id trace.TraceID, root trace.SpanID) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", part, call))
	copy(id[:], sum[:16])
	copy(root[:], sum[16:])
	return id, root
}

// NewIDs implements sdk.IDGenerator.
func (n names) NewIDs(ctx context.Context) (id trace.TraceID, root trace.SpanID) {
	if known, ok := ctx.Value(nameKey{}).(named); ok {
		return known.trace, known.root
	}
	_, _ = rand.Read(id[:]) // it never fails
	return id, n.NewSpanID(ctx, id)
}

// NewSpanID implements sdk.IDGenerator.
func (names) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

// quiet drops spans that cannot be sent, and logs that from time to time.
type quiet struct {
	sdk.SpanExporter
	log  *slog.Logger
	told time.Time // ExportSpans is never called concurrently
}

// ExportSpans implements sdk.SpanExporter.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := q.SpanExporter.ExportSpans(ctx, spans); err != nil && time.Since(q.told) > time.Minute {
		q.told = time.Now()
		q.log.Warn("sending spans failed, spans dropped", "spans", len(spans), "error", address.Error(err), "hint", "check trace.endpoint")
	}
	return nil
}
