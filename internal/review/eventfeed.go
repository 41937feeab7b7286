package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"callscreen/internal/limit"
	"callscreen/internal/store"
	"callscreen/internal/wait"
)

// feed reads new audit lines and sends them to all listeners. The number of an audit line is the same on all nodes and
// only grows, so it is the id of the event: a client that reconnects asks for the events after its last one. Without
// listeners the feed does nothing.
type feed struct {
	store  *store.Store
	board  *Board
	log    *slog.Logger
	most   int
	users  *limit.Shares[string]
	places *limit.Shares[netip.Prefix]
	joined chan struct{} // has room for one

	mu        sync.Mutex
	listeners map[*listener]bool
	closed    bool
	joining   sync.Mutex
	seen      int64 // last line sent; guarded by joining without listeners, otherwise owned by the reader
}

const (
	feedLooks    = 500 * time.Millisecond // poll interval for audit lines of other nodes
	feedRests    = 50 * time.Millisecond  // minimum interval between two polls
	feedAnswers  = 5 * time.Second        // timeout of the database
	feedBatch    = 100
	feedQueue    = 1024 // queued events per listener; a slower listener is disconnected
	mostLiveSeen = 1000
)

var (
	errTooMany     = errors.New("too many event streams")
	errTooManyOwn  = errors.New("you have as many event streams as a user may (hint: close pages that you do not use)")
	errTooManyHere = errors.New("your address has as many event streams as it may (hint: if it is a proxy, see auth.trusted_proxies)")
	errStopped     = errors.New("shutting down")
)

// listener is a connected event stream. Its queue is closed to disconnect it.
type listener struct {
	queue chan event
	call  string // only events of this call; "" for all
	from  int64  // the queue starts after this line
}

// event is an encoded event. A hint that a live call has progressed has no number and is not repeated.
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
		users:     limit.NewShares[string](max(cfg.Streams/32, 4)),
		places:    limit.NewShares[netip.Prefix](max(cfg.Streams/4, 4)),
		joined:    make(chan struct{}, 1),
		listeners: map[*listener]bool{},
	}
}

func (f *feed) listening() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listeners)
}

// share takes the shares of a user and an address. give must be called once if there is no error. user is "" while authentication
// is off.
func (f *feed) share(user string, addr netip.Addr) (give func(), err error) {
	place, ok := f.places.Take(limit.Network(addr))
	if !ok {
		return nil, errTooManyHere
	}
	if user == "" {
		return place, nil
	}
	own, ok := f.users.Take(user)
	if !ok {
		place()
		return nil, errTooManyOwn
	}
	return func() { own(); place() }, nil
}

// join adds a listener, which must leave later.
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

// run sends new events until the context ends, and then disconnects all listeners.
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

// follow sends new events while there are listeners.
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
			f.log.Warn("reading events failed", "error", err, "hint", "it is retried; listeners get the events then")
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

// look sends new audit lines, and hints about calls that changed without one.
func (f *feed) look(ctx context.Context, changed []string) (more bool, err error) {
	f.joining.Lock() // a joining listener gets these lines here or reads them itself
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

// lookAtOthers sends hints about live calls that progressed on other nodes.
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

// hand queues an event. A listener with a full queue is too slow and is disconnected; it reconnects with its last id.
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

// busy reports whether a queue is half full.
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

// lineEvent encodes an audit line as an event of the HTML standard, section 9.2.
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
