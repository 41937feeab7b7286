package review

import (
	"maps"
	"slices"
	"sync"
)

// Board announces changes of calls to the waiting requests of this node. It is safe for concurrent use.
type Board struct {
	mu      sync.Mutex
	waiting map[string]*notice
	readers map[*reader]bool
}

// reader collects the calls that have changed since its last look.
type reader struct {
	news  chan struct{} // has room for one
	calls map[string]bool
}

// mostNews is the number of changed calls that a reader holds. Further calls show with their next change.
const mostNews = 1000

// notice is shared by the requests that wait for the same call.
type notice struct {
	changed chan struct{}
	readers int
}

// NewBoard returns an empty board.
func NewBoard() *Board {
	return &Board{waiting: map[string]*notice{}, readers: map[*reader]bool{}}
}

// Changed wakes the requests that wait for a call.
func (b *Board) Changed(call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.waiting[call]; n != nil {
		close(n.changed)
		delete(b.waiting, call)
	}
	for r := range b.readers {
		if len(r.calls) < mostNews {
			r.calls[call] = true
		}
		select {
		case r.news <- struct{}{}:
		default:
		}
	}
}

// WatchAll returns a channel that receives after a call has changed, and take, which returns the calls that have
// changed since its last use. The caller must call leave when it stops listening.
func (b *Board) WatchAll() (news <-chan struct{}, take func() []string, leave func()) {
	r := &reader{news: make(chan struct{}, 1), calls: map[string]bool{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers[r] = true
	take = func() []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		list := slices.Sorted(maps.Keys(r.calls))
		clear(r.calls)
		return list
	}
	return r.news, take, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.readers, r)
	}
}

// Watch returns a channel that is closed at the next change of a call. The caller must call leave when it stops
// listening.
func (b *Board) Watch(call string) (changed <-chan struct{}, leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.waiting[call]
	if n == nil {
		n = &notice{changed: make(chan struct{})}
		b.waiting[call] = n
	}
	n.readers++
	return n.changed, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if n.readers--; n.readers == 0 && b.waiting[call] == n {
			delete(b.waiting, call)
		}
	}
}
