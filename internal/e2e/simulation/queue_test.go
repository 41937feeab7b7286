package simulation_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertest"
	"github.com/riverqueue/river/rivertype"

	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// queue runs the jobs of a node like River does, with its statements and its order, but without its many timers.
type queue struct {
	node   *node
	client *river.Client[*sql.Tx] // for the context of jobs
	worker *screen.Worker
	slots  int
	cancel context.CancelFunc // of the jobs
	stop   chan struct{}
	loop   sync.WaitGroup
	known  int64  // number of changes of the queue when it was read
	first  string // time of the first job then, or ""
	// waiting is whether a job was neither available nor done, when the number of changes was tended.
	waiting bool
	tended  int64

	mu      sync.Mutex
	running sync.WaitGroup
	busy    int
}

const (
	jobTimeout   = time.Minute
	rescueAfter  = 75 * time.Second
	fetchEvery   = time.Second
	scheduleEach = 5 * time.Second
)

func newQueue(n *node, worker *screen.Worker, slots int) *queue {
	client, err := river.NewClient(n.store.Driver(), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	n.w.must(err)
	return &queue{
		node:   n,
		client: client,
		worker: worker,
		slots:  slots,
		stop:   make(chan struct{}),
	}
}

// Start implements screen.Queue.
func (q *queue) Start(ctx context.Context) error {
	jobs, cancel := context.WithCancel(ctx)
	q.cancel = cancel
	q.loop.Go(func() {
		fetch, schedule := time.NewTicker(fetchEvery), time.NewTicker(scheduleEach)
		defer fetch.Stop()
		defer schedule.Stop()
		for {
			select {
			case <-fetch.C:
			case <-schedule.C:
				q.tend(jobs)
			case <-q.stop:
				return
			}
			q.fetch(jobs)
		}
	})
	return nil
}

// Stop implements screen.Queue.
func (q *queue) Stop(ctx context.Context) error {
	close(q.stop)
	done := make(chan struct{})
	go func() {
		q.loop.Wait()
		q.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		q.cancel()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StopAndCancel implements screen.Queue.
func (q *queue) StopAndCancel(context.Context) error {
	q.cancel()
	q.loop.Wait()
	q.running.Wait()
	return nil
}

func (q *queue) executor() riverdriver.Executor { return q.node.store.Driver().GetExecutor() }

// tend makes jobs available whose time has come, and rescues those that run for too long.
func (q *queue) tend(ctx context.Context) {
	now := q.node.store.Due()
	if !q.waits(ctx) {
		return
	}
	_, _ = q.executor().JobSchedule(ctx, &riverdriver.JobScheduleParams{Max: 100, Now: &now})
	horizon := now.Add(-rescueAfter)
	stuck, err := q.executor().JobGetStuck(ctx, &riverdriver.JobGetStuckParams{Max: 100, StuckHorizon: horizon})
	if err != nil || len(stuck) == 0 {
		return
	}
	p := &riverdriver.JobRescueManyParams{StuckHorizon: horizon}
	for _, j := range stuck {
		p.ID = append(p.ID, j.ID)
		p.Error = append(p.Error, []byte(`{"attempt":1,"at":"2026-01-01T00:00:00Z","error":"stuck","trace":""}`))
		p.FinalizedAt = append(p.FinalizedAt, nil)
		p.ScheduledAt = append(p.ScheduledAt, now)
		p.State = append(p.State, string(rivertype.JobStateRetryable))
	}
	_, _ = q.executor().JobRescueMany(ctx, p)
}

// waits reports whether there is a job that is neither available nor done. It asks the database only after a change.
func (q *queue) waits(ctx context.Context) bool {
	if changes := q.node.changes.Load(); changes != q.tended {
		const query = "SELECT EXISTS (SELECT 1 FROM river_job WHERE state IN ('running', 'retryable', 'scheduled'))"
		if err := q.executor().QueryRow(ctx, query).Scan(&q.waiting); err != nil {
			return true
		}
		q.tended = changes
	}
	return q.waiting
}

// fetch starts jobs on the free slots.
func (q *queue) fetch(ctx context.Context) {
	q.mu.Lock()
	free := q.slots - q.busy
	q.mu.Unlock()
	if free == 0 || ctx.Err() != nil {
		return
	}
	now := q.node.store.Due()
	if !q.due(ctx, now) { // the next statement costs more than all others of a world
		return
	}
	list, err := q.executor().JobGetAvailable(ctx, &riverdriver.JobGetAvailableParams{
		ClientID:       q.node.name,
		MaxAttemptedBy: 10,
		MaxToLock:      free,
		Now:            &now,
		Queue:          store.Queue(""),
	})
	if err != nil {
		return
	}
	for _, row := range list.Jobs {
		q.mu.Lock()
		q.busy++
		q.mu.Unlock()
		q.running.Go(func() {
			q.work(ctx, row)
			q.mu.Lock()
			q.busy--
			q.mu.Unlock()
		})
	}
}

// due reports whether a job is to be run. It asks the database only after a change.
func (q *queue) due(ctx context.Context, now time.Time) bool {
	const layout = "2006-01-02 15:04:05.000"
	if changes := q.node.changes.Load(); changes != q.known {
		var first sql.NullString
		if err := q.executor().QueryRow(ctx, "SELECT min(scheduled_at) FROM river_job WHERE state = 'available'").Scan(&first); err != nil {
			return false
		}
		q.known, q.first = changes, first.String
	}
	return q.first != "" && q.first <= now.Format(layout)
}

// work runs a job and stores its new state.
func (q *queue) work(ctx context.Context, row *rivertype.JobRow) {
	j := &river.Job[store.SegmentJob]{JobRow: row}
	if err := json.Unmarshal(row.EncodedArgs, &j.Args); err != nil {
		q.node.w.wrong("job %d: %v", row.ID, err)
		return
	}
	timed, cancel := context.WithTimeout(rivertest.WorkContext(ctx, q.client), q.worker.Timeout(j))
	err := q.worker.Work(timed, j)
	cancel()
	now := q.node.store.Due()
	var snooze *rivertype.JobSnoozeError
	var p *riverdriver.JobSetStateIfRunningParams
	switch {
	case err == nil:
		p = riverdriver.JobSetStateCompleted(row.ID, now, nil)
	case errors.As(err, &snooze) && snooze.Duration < scheduleEach:
		p = riverdriver.JobSetStateSnoozedAvailable(row.ID, now.Add(snooze.Duration), row.Attempt-1, nil)
	case errors.As(err, &snooze):
		p = riverdriver.JobSetStateSnoozed(row.ID, now.Add(snooze.Duration), row.Attempt-1, nil)
	default:
		text, _ := json.Marshal(rivertype.AttemptError{At: now, Attempt: row.Attempt, Error: err.Error()})
		p = riverdriver.JobSetStateErrorRetryable(row.ID, q.worker.NextRetry(j), text, nil)
	}
	for range 3 {
		if err = q.save(ctx, p, now); err == nil || ctx.Err() != nil {
			return
		}
	}
}

func (q *queue) save(ctx context.Context, p *riverdriver.JobSetStateIfRunningParams, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, err := q.executor().JobSetStateIfRunningMany(ctx, &riverdriver.JobSetStateIfRunningManyParams{
		ID:              []int64{p.ID},
		Attempt:         []*int{p.Attempt},
		ErrData:         [][]byte{p.ErrData},
		FinalizedAt:     []*time.Time{p.FinalizedAt},
		MetadataDoMerge: []bool{false},
		MetadataUpdates: [][]byte{[]byte("{}")},
		Now:             &now,
		ScheduledAt:     []*time.Time{p.ScheduledAt},
		State:           []rivertype.JobState{p.State},
	})
	if err != nil {
		return fmt.Errorf("job %d: %w", p.ID, err)
	}
	return nil
}
