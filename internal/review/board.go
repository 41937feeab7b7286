package review

import "sync"

// Board is where it is posted that something about a call has changed, for those on this node who wait for it. It is safe
// for concurrent use.
type Board struct {
	mu      sync.Mutex
	waiting map[string]*notice
}

// notice is what those who wait for the same call share.
type notice struct {
	changed chan struct{}
	readers int
}

// NewBoard makes an empty board.
func NewBoard() *Board { return &Board{waiting: map[string]*notice{}} }

// Changed wakes those who wait for a call.
func (b *Board) Changed(call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.waiting[call]; n != nil {
		close(n.changed)
		delete(b.waiting, call)
	}
}

// Watch returns a channel that is closed with the next change of a call. leave must be called when nobody listens to it
// any more.
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
