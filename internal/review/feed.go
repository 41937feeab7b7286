package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"callscreen/internal/store"
	"callscreen/internal/wait"
)

// feed reads what is new in the audit and hands it to all who listen. The number of an audit line is the same on all
// nodes and only grows, so it serves as the id of an event: whoever was away asks for what came after the last one.
// While nobody listens it does nothing.
type feed struct {
	store  *store.Store
	board  *Board
	log    *slog.Logger
	most   int
	joined chan struct{} // has room for one

	mu        sync.Mutex
	listeners map[*listener]bool
	closed    bool
	joining   sync.Mutex
	seen      int64 // last line that was handed out; guarded by joining while nobody listens, else the reader's
}

const (
	feedLooks    = 500 * time.Millisecond // for what other nodes have written
	feedRests    = 50 * time.Millisecond  // between two looks at the most, however much happens here
	feedAnswers  = 5 * time.Second        // for the database
	feedBatch    = 100
	feedQueue    = 1024 // events that wait for a listener; one that is further behind is sent away
	mostLiveSeen = 1000
)

var (
	errTooMany = errors.New("as many listen as are allowed")
	errStopped = errors.New("shutting down")
)

// listener is somebody who listens. Its queue is closed when it is sent away.
type listener struct {
	queue chan event
	call  string // only what is about this call; "" for all
	from  int64  // the line after which the queue begins
}

// event is one that is ready to be sent. A hint that a live call has moved has no number: it is not repeated.
type event struct {
	seq  int64
	call string
	data []byte
}

func newFeed(cfg Config) *feed {
	return &feed{
		store:     cfg.Store,
		board:     cfg.Board,
		log:       cfg.Log,
		most:      cfg.Streams,
		joined:    make(chan struct{}, 1),
		listeners: map[*listener]bool{},
	}
}

func (f *feed) listening() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listeners)
}

// join adds a listener. It must leave again.
func (f *feed) join(ctx context.Context, call string) (*listener, error) {
	f.joining.Lock()
	defer f.joining.Unlock()
	head, err := f.store.AuditHead(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errStopped
	case len(f.listeners) >= f.most:
		return nil, errTooMany
	case len(f.listeners) == 0:
		f.seen = head
	}
	l := &listener{queue: make(chan event, feedQueue), call: call, from: head}
	f.listeners[l] = true
	select {
	case f.joined <- struct{}{}:
	default:
	}
	return l, nil
}

func (f *feed) leave(l *listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners[l] {
		delete(f.listeners, l)
		close(l.queue)
	}
}

// run hands out what is new until the context ends, and then sends all listeners away.
func (f *feed) run(ctx context.Context) error {
	defer func() {
		f.mu.Lock()
		f.closed = true
		all := maps.Clone(f.listeners)
		f.mu.Unlock()
		for l := range all {
			f.leave(l)
		}
	}()
	for ctx.Err() == nil {
		select {
		case <-f.joined:
			f.follow(ctx)
		case <-ctx.Done():
		}
	}
	return nil
}

// follow hands out what is new while anybody listens.
func (f *feed) follow(ctx context.Context) {
	news, changed, leave := f.board.WatchAll()
	defer leave()
	tick := time.NewTicker(feedLooks)
	defer tick.Stop()
	var marks map[string]string
	troubled := false
	for f.listening() > 0 {
		more, err := f.look(ctx, changed())
		if err == nil && f.store.Shared() {
			marks, err = f.lookAtOthers(ctx, marks)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !troubled {
			f.log.Warn("events cannot be read from the database", "error", err, "hint", "it is tried again; who listens gets them then")
		}
		troubled = err != nil
		if more && err == nil {
			if f.busy() {
				_ = wait.For(ctx, feedRests) // listeners drain their queues first
			}
			continue
		}
		select {
		case <-news:
			_ = wait.For(ctx, feedRests)
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look hands out new lines of the audit, and hints about calls that have changed without one.
func (f *feed) look(ctx context.Context, changed []string) (more bool, err error) {
	f.joining.Lock() // a listener that joins now either gets these lines or reads them itself
	defer f.joining.Unlock()
	ctx, cancel := context.WithTimeout(ctx, feedAnswers)
	defer cancel()
	lines, err := f.store.AuditAfter(ctx, f.seen, feedBatch)
	told := map[string]bool{}
	for _, line := range lines {
		e, err := lineEvent(line)
		if err != nil {
			return false, err
		}
		f.hand(e)
		f.seen = line.Seq
		told[line.Call] = true
	}
	for _, call := range changed {
		if !told[call] {
			f.hand(movedEvent(call))
		}
	}
	return len(lines) == feedBatch, err
}

// lookAtOthers hints about live calls that have moved on other nodes.
func (f *feed) lookAtOthers(ctx context.Context, before map[string]string) (map[string]string, error) {
	now, err := f.store.LiveMarks(ctx, mostLiveSeen)
	if err != nil {
		return before, err
	}
	if before != nil {
		for call, mark := range now {
			if before[call] != mark {
				f.hand(movedEvent(call))
			}
		}
		for call := range before {
			if _, ok := now[call]; !ok {
				f.hand(movedEvent(call))
			}
		}
	}
	return now, nil
}

// hand puts an event into the queues. A listener whose queue is full is too slow, and is sent away: it comes back and
// says where it was.
func (f *feed) hand(e event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		if l.call != "" && l.call != e.call {
			continue
		}
		select {
		case l.queue <- e:
		default:
			delete(f.listeners, l)
			close(l.queue)
		}
	}
}

// busy tells whether a queue is half full.
func (f *feed) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		if len(l.queue) > cap(l.queue)/2 {
			return true
		}
	}
	return false
}

// lineEvent is a line of the audit as an event of the HTML standard, section 9.2.
func lineEvent(line store.Line) (event, error) {
	data, err := json.Marshal(line) // on one line
	if err != nil {
		return event{}, fmt.Errorf("audit line %d: %w", line.Seq, err)
	}
	return event{seq: line.Seq, call: line.Call, data: fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", line.Seq, line.What, data)}, nil
}

func movedEvent(call string) event {
	data, _ := json.Marshal(map[string]string{"call": call}) // strings only
	return event{call: call, data: fmt.Appendf(nil, "event: call.moved\ndata: %s\n\n", data)}
}
