package limit

import (
	"net/netip"
	"sync"
)

// Shares bounds what each client holds at a time, such as its connections. It is safe for concurrent use.
type Shares[K comparable] struct {
	most int

	mu   sync.Mutex
	held map[K]int
}

// NewShares returns shares of at most this size.
func NewShares[K comparable](most int) *Shares[K] { return &Shares[K]{most: most, held: map[K]int{}} }

// Take reports whether a client may hold one more. If so, give must be called once.
func (s *Shares[K]) Take(client K) (give func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[client] >= s.most {
		return nil, false
	}
	s.held[client]++
	return sync.OnceFunc(func() { s.give(client) }), true
}

func (s *Shares[K]) give(client K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[client]--; s.held[client] == 0 {
		delete(s.held, client)
	}
}

// Network returns the network that stands for the client of an address: the address itself, or the network of an IPv6 address,
// because a client has a whole network. It is the zero prefix for an unknown address.
func Network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr = addr.Unmap(); addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits)
	return network
}
