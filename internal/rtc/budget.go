package rtc

import (
	"net/netip"
	"sync"
	"time"
)

// Budget bounds the STUN bytes that ICE sends to addresses which have not answered, so that a session cannot be used to send
// more to a third party than its sender has sent here. The bytes come from the requests of the sender (Add) and from the checks
// that arrive from an address, which are for that address alone. An address that has answered a check is not limited any more:
// only the receiver of a check knows its transaction id. It is safe for concurrent use.
type Budget struct {
	mu     sync.Mutex
	free   int // bytes that may be sent now
	later  int // bytes that become free until window after since
	grant  int // later at since
	since  time.Time
	total  int // bytes taken from free
	spent  map[netip.AddrPort]*spending
	earned map[netip.AddrPort]int // bytes received from addresses that have not answered
	open   map[transaction]netip.AddrPort
	proven map[netip.AddrPort]bool
}

// spending holds the bytes for an address, in all and by local address.
type spending struct {
	total int
	last  time.Time
	from  map[netip.AddrPort]int
}

type transaction [12]byte

const (
	// window is the time over which the second half of a grant becomes free. A sender that waits for checks may get its answer
	// late.
	window = 3 * time.Second
	// pace is the shortest time between two checks of an address, so that one with many routes leaves bytes for the others. pion
	// repeats its checks every 200 ms.
	pace = 150 * time.Millisecond
	// maxAddresses bounds the tables of a budget. An honest sender uses few.
	maxAddresses = 1024
)

// NewBudget returns an empty budget.
func NewBudget() *Budget {
	return &Budget{
		spent:  map[netip.AddrPort]*spending{},
		earned: map[netip.AddrPort]int{},
		open:   map[transaction]netip.AddrPort{},
		proven: map[netip.AddrPort]bool{},
	}
}

// Add grants the size of a request in bytes: half of it now, and half over the next 3 s. It is called when the request has been
// answered, because a sender may ignore earlier checks.
func (b *Budget) Add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += b.later + n/2
	b.grant, b.since = n-n/2, time.Now()
	b.later = b.grant
}

// The types of STUN messages that ICE sends, RFC 8489 section 5.
const (
	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	bindingError   = 0x0111

	stunHeader     = 20
	firstAttribute = stunHeader
	username       = 0x0006
)

// stunType returns the type of a STUN message and its transaction; ok is false for other packets.
func stunType(p []byte) (kind uint16, id transaction, ok bool) {
	if len(p) < stunHeader || p[0] > 3 || p[4] != 0x21 || p[5] != 0x12 || p[6] != 0xa4 || p[7] != 0x42 {
		return 0, id, false
	}
	copy(id[:], p[8:stunHeader])
	return uint16(p[0])<<8 | uint16(p[1]), id, true
}

// isCheck reports whether a message is a check of ICE. Requests to STUN and TURN servers do not begin with a user name.
func isCheck(kind uint16, p []byte) bool {
	return kind == bindingRequest && len(p) >= firstAttribute+4 && uint16(p[firstAttribute])<<8|uint16(p[firstAttribute+1]) == username
}

// take reports whether a packet may be sent, and charges it.
func (b *Budget) take(local, remote netip.AddrPort, p []byte) bool {
	kind, id, ok := stunType(p)
	check := isCheck(kind, p)
	if !ok || !check && kind != bindingSuccess && kind != bindingError {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.proven[remote]:
		return true
	case b.earned[remote] >= len(p):
		b.earned[remote] -= len(p)
	case !check || !b.share(local, remote, len(p)):
		return false
	}
	if check && len(b.open) < maxAddresses {
		b.open[id] = remote
	}
	return true
}

// share charges a check to the bytes for all addresses. No address may take more than the others have on average, so that the
// last candidate of a sender is checked too, and no local address more than the others have for the same one. mu must be held.
func (b *Budget) share(local, remote netip.AddrPort, n int) bool {
	now := time.Now()
	rest := int(int64(b.grant) * int64(max(window-now.Sub(b.since), 0)) / int64(window))
	b.free += b.later - rest
	b.later = rest
	to := b.spent[remote]
	if to == nil {
		if len(b.spent) >= maxAddresses {
			return false
		}
		to = &spending{from: map[netip.AddrPort]int{}}
		b.spent[remote] = to
	}
	to.from[local] += 0 // takes part in the average from now on
	if b.free < n || now.Sub(to.last) < pace || to.total*len(b.spent) > b.total || to.from[local]*len(to.from) > to.total {
		return false
	}
	to.last = now
	b.free -= n
	b.total += n
	to.total += n
	to.from[local] += n
	return true
}

// failed returns the bytes of a check that the kernel did not send, as from the loopback address to another network. The local
// address keeps them on its account, so that the others are tried first.
func (b *Budget) failed(remote netip.AddrPort, p []byte) {
	kind, id, ok := stunType(p)
	if !ok || !isCheck(kind, p) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	to := b.spent[remote]
	if _, ok := b.open[id]; !ok || to == nil {
		return
	}
	delete(b.open, id)
	b.free += len(p)
	b.total -= len(p)
	to.total -= len(p)
	to.last = time.Time{}
}

// received takes a packet of an address.
func (b *Budget) received(remote netip.AddrPort, p []byte) {
	kind, id, ok := stunType(p)
	if !ok || kind != bindingRequest && kind != bindingSuccess {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proven[remote] {
		return
	}
	if kind == bindingRequest {
		if _, known := b.earned[remote]; known || len(b.earned) < maxAddresses {
			b.earned[remote] += len(p)
		}
		return
	}
	if asked, ok := b.open[id]; ok && asked == remote {
		delete(b.open, id)
		delete(b.earned, remote)
		b.proven[remote] = true
	}
}
