package review_test

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"callscreen/internal/store"
)

// waiting fills the database with calls that wait for review.
func (o *office) waiting(calls int) {
	o.t.Helper()
	ctx := o.t.Context()
	o.must(o.store.InTx(ctx, func(tx *store.Tx) error {
		for i := range calls {
			p := part(fmt.Sprintf("call-%05d", i))
			p.Part += int64(i) * 1000
			c, err := tx.Begin(ctx, p)
			if err != nil {
				return err
			}
			score := 0.93
			c.State, c.EndedAt, c.Decision, c.Final, c.Review, c.Score = store.CallEnded, begun.Add(time.Minute), "flagged", true, true, &score
			c.Summary = fmt.Appendf(
				nil,
				`{"call":%q,"decision":"flagged","review":true,"score":0.93,"threshold":0.6,"reasons":["score_over_threshold"],`+
					`"legs":[{"leg":"caller","decision":"flagged","score":0.93,"threshold":0.6}]}`,
				c.ID,
			)
			if err := tx.SaveCall(ctx, &c); err != nil {
				return err
			}
			if err := tx.OpenReview(ctx, c.ID, begun); err != nil {
				return err
			}
		}
		return nil
	}))
}

// BenchmarkListOf10000 measures the list of waiting calls, over HTTP.
func BenchmarkListOf10000(b *testing.B) {
	o := newOffice(b, nil)
	o.waiting(10_000)
	var size int64
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), "GET", o.url+"/", nil)
		o.must(err)
		r.Header.Set("Authorization", "Bearer vera")
		resp, err := http.DefaultClient.Do(r)
		o.must(err)
		size, err = io.Copy(io.Discard, resp.Body)
		o.must(err)
		o.must(resp.Body.Close())
	}
	b.ReportMetric(float64(size), "bytes/page")
}

// BenchmarkIdleStreams measures 50 idle event streams, server and clients together.
func BenchmarkIdleStreams(b *testing.B) {
	o := newOffice(b, nil)
	for range 50 {
		o.listen("")
	}
	for o.server.Listening() < 50 {
		time.Sleep(time.Millisecond)
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		o.must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for b.Loop() {
		before := cpu()
		time.Sleep(5 * time.Second)
		b.ReportMetric(float64((cpu()-before).Microseconds())/5000, "ms-CPU/s")
	}
}
