package limit

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Connections are the limits of a listener.
type Connections struct {
	Most int64 // of all clients
	Each int   // of one client
	// Exempt reports whether the limit of one client does not apply to an address, as it does not to a proxy. nil: to none.
	Exempt   func(netip.Addr) bool
	Refusals *Refusals
}

// Listener closes new connections while a client, or all together, have as many as they may. It does not queue them: a client, such
// as a health probe, then fails at once instead of waiting.
func Listener(l net.Listener, c Connections) net.Listener {
	return &listener{Listener: l, limits: c, each: NewShares[netip.Prefix](c.Each)}
}

// acceptAgain is the pause after a connection for which there was no descriptor.
const acceptAgain = 50 * time.Millisecond

type listener struct {
	net.Listener
	limits Connections
	each   *Shares[netip.Prefix]
	open   atomic.Int64
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ECONNABORTED) {
				return nil, err
			}
			time.Sleep(acceptAgain) // some server gives up at the first error
			continue
		}
		if leave, ok := l.admit(c); ok {
			return &conn{Conn: c, leave: leave}, nil
		}
		_ = c.Close() // nothing was sent yet
	}
}

// admit counts a connection. leave must be called once if it is admitted.
func (l *listener) admit(c net.Conn) (leave func(), ok bool) {
	var addr netip.Addr
	if remote, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		addr = remote.AddrPort().Addr().Unmap().WithZone("")
	}
	give := func() {}
	if l.limits.Exempt == nil || !l.limits.Exempt(addr) {
		if give, ok = l.each.Take(Network(addr)); !ok {
			l.limits.Refusals.Note(OfConnections, addr)
			return nil, false
		}
	}
	if l.open.Add(1) > l.limits.Most {
		l.open.Add(-1)
		give()
		return nil, false
	}
	return sync.OnceFunc(func() { l.open.Add(-1); give() }), true
}

type conn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}
