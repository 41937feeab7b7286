package screen_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/capture"
	recordings "callscreen/internal/audio"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/internal/testkit"
	"callscreen/policy"
)

// fastAPI accepts all uploads and returns a score at the first poll.
func fastAPI() http.Handler {
	var n atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v4/deepfake/audio/analyze", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, `{"id":"job-%d","status":"queued","job_type":"audio"}`, n.Add(1))
	})
	mux.HandleFunc("GET /api/v4/deepfake/job/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q,"status":"completed","score":0.1,"verdict":"deepfake_unlikely"}`, r.PathValue("id"))
	})
	return mux
}

// BenchmarkThroughput runs the load of a thousand concurrent calls: 100 segments of ten seconds each second, for a minute, from
// the recorder through spool, database and workers to the decisions.
func BenchmarkThroughput(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { throughput(b, store.Options{Dir: b.TempDir(), Owner: true}) })
	b.Run("PostgreSQL", func(b *testing.B) {
		opt := store.Options{URL: storetest.StartPostgres(b).Database(), MaxConns: 60}
		if err := store.Migrate(b.Context(), opt); err != nil {
			b.Fatal(err)
		}
		throughput(b, opt)
	})
}

func throughput(b *testing.B, opt store.Options) {
	const perSecond, seconds, calls, inFlight = 100, 60, 1000, 200
	dir := b.TempDir()
	fatal := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	db, err := store.Open(b.Context(), opt)
	fatal(err)
	sp, err := spool.Open(filepath.Join(dir, "spool"), spool.Config{})
	fatal(err)
	files, err := recordings.NewFolder(filepath.Join(dir, "audio"))
	fatal(err)
	server := httptest.NewServer(fastAPI())
	client, err := analyzer.New("key", &analyzer.Options{BaseURL: server.URL, PollInitial: 100 * time.Millisecond})
	fatal(err)
	desk := screen.NewDecider(screen.DeciderConfig{Store: db, Policy: policy.Default()})
	courier := screen.NewForwarder(screen.ForwarderConfig{Spool: sp, Audio: files, Decider: desk})
	worker := screen.NewWorker(screen.WorkerConfig{
		API:      client,
		Store:    db,
		Decider:  desk,
		Audio:    files,
		Node:     "bench",
		Interval: time.Millisecond,
		Deadline: time.Minute,
		MaxAge:   time.Hour,
	})
	engine, err := screen.NewMaintenance(screen.MaintenanceConfig{
		Worker:      worker,
		Store:       db,
		Decider:     desk,
		Audio:       files,
		Node:        "bench",
		MaxInFlight: inFlight,
		MaxAge:      time.Hour,
		OwnParts:    func() map[store.PartKey]bool { own := map[store.PartKey]bool{}; courier.Parts(own); return own },
	})
	fatal(err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { courier.Run(ctx) })
	running.Go(func() {
		if err := engine.Run(ctx, 10*time.Second); err != nil {
			b.Error(err)
		}
	})
	defer func() {
		cancel()
		running.Wait()
		client.CloseIdleConnections()
		server.Close()
		if err := db.Close(); err != nil {
			b.Error(err)
		}
		_ = files.Close()
		_ = sp.Close()
	}()

	pcm := make([]int16, 10*16000)
	for i := range pcm {
		pcm[i] = int16(i*31) / 4
	}
	begin := time.Now()
	part := func(call int) store.Part {
		return store.Part{PartKey: store.PartKey{Call: fmt.Sprintf("call-%d", call), Part: begin.UnixMilli(), Node: "bench"}}
	}
	cpu := testkit.CPU(b)
	b.ResetTimer()
	var feeding sync.WaitGroup
	work := make(chan int, perSecond)
	for range 4 { // concurrent recorders, each of which waits for its own disk writes
		feeding.Go(func() {
			for i := range work {
				call, seq := i%calls, i/calls
				start := int64(seq) * int64(len(pcm))
				span := capture.Span{Start: start, End: start + int64(len(pcm))}
				seg := capture.Segment{
					Seq:    seq,
					Span:   span,
					Rate:   16000,
					PCM:    pcm,
					Speech: int64(len(pcm)),
					Voiced: []capture.Span{span},
				}
				if err := courier.Take(part(call), capture.LegSegment{Leg: "caller", Segment: seg}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	late := time.Duration(0)
	for i := range perSecond * seconds {
		due := begin.Add(time.Duration(i) * time.Second / perSecond)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		} else {
			late = max(late, -wait)
		}
		work <- i
	}
	close(work)
	feeding.Wait()
	fed := time.Since(begin)
	for call := range calls {
		p := part(call)
		p.EndedAt, p.Legs = time.Now(), []store.LegProgress{{Leg: "caller", Duration: fed}}
		if err := courier.Progress(p); err != nil {
			b.Fatal(err)
		}
	}
	left, err := db.Backlog(b.Context())
	fatal(err)
	spooled, _ := courier.Waiting()
	ended := time.Now()
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n, _ := courier.Waiting()
		now, err := db.Backlog(b.Context())
		fatal(err)
		if n == 0 && now.Recorded+now.Submitted == 0 {
			break
		}
		if time.Now().After(end) {
			b.Fatalf("%d entries in the spool, %+v", n, now)
		}
	}
	drained := time.Since(ended)
	b.StopTimer()
	final, _, err := desk.Reports(b.Context(), store.Filter{Decision: "clear", Limit: calls + 1})
	fatal(err)
	if len(final) != calls {
		b.Fatalf("%d of %d calls are clear", len(final), calls)
	}
	b.ReportMetric(perSecond*seconds/fed.Seconds(), "segments/s")
	b.ReportMetric(float64(left.Recorded+left.Submitted), "open-at-the-end")
	b.ReportMetric(float64(max(spooled-calls, 0)), "spooled-at-the-end")
	b.ReportMetric(drained.Seconds(), "drain-s")
	b.ReportMetric(late.Seconds()*1000, "latest-ms")
	b.ReportMetric(float64((testkit.CPU(b)-cpu).Milliseconds())/(perSecond*seconds), "cpu-ms/segment")
	b.ReportMetric(0, "ns/op")
}
