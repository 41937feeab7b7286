package storetest

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy stands between a store and its database. It can freeze connections: they carry neither data nor an end any more.
type Proxy struct {
	t      testing.TB
	target string
	listen net.Listener
	wg     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]net.Conn // from the store: to the server
	frozen map[net.Conn]bool
	all    bool // new connections freeze too
	thaw   chan struct{}
	served int
}

// NewProxy starts a proxy at an address such as 127.0.0.1:0 for the database of a URL, and returns the URL that leads through
// it. host replaces the host in that URL if it is not "".
func NewProxy(t testing.TB, database, address, host string) (*Proxy, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		t:      t,
		target: u.Host,
		listen: l,
		conns:  map[net.Conn]net.Conn{},
		frozen: map[net.Conn]bool{},
		thaw:   make(chan struct{}),
	}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	u.Host = l.Addr().String()
	if host != "" {
		_, port, err := net.SplitHostPort(u.Host)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = net.JoinHostPort(host, port)
	}
	return p, u.String()
}

// Port returns the port of the proxy.
func (p *Proxy) Port() string {
	_, port, _ := net.SplitHostPort(p.listen.Addr().String())
	return port
}

// Freeze freezes the connections that are open now, and new ones too if all is true.
func (p *Proxy) Freeze(all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = all
	for c := range p.conns {
		p.frozen[c] = true
	}
}

// Thaw lets new connections pass again. Those that were frozen stay so.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = false
}

// Drop ends the connections that are frozen, as the keepalive of TCP does after a while. Otherwise the server would keep them.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for in := range p.frozen {
		_, _ = p.conns[in].Close(), in.Close()
		delete(p.conns, in)
		delete(p.frozen, in)
	}
}

// Open returns the number of connections that are open and not frozen.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) - len(p.frozen)
}

// Served returns the number of connections that were accepted.
func (p *Proxy) Served() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}

func (p *Proxy) accept() {
	for {
		in, err := p.listen.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.t.Error(err)
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close() // as if the server were down
			continue
		}
		p.mu.Lock()
		p.served++
		p.conns[in] = out
		if p.all {
			p.frozen[in] = true
		}
		p.mu.Unlock()
		p.wg.Go(func() { p.carry(in, out, in) })
		p.wg.Go(func() { p.carry(out, in, in) })
	}
}

// carry copies one direction of the connection in.
func (p *Proxy) carry(to, from, in net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		frozen := p.frozen[in]
		p.mu.Unlock()
		if frozen {
			<-p.thaw // until the end of the test; the ends stay open, and what was read is gone
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			p.mu.Lock()
			delete(p.conns, in)
			delete(p.frozen, in)
			p.mu.Unlock()
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

func (p *Proxy) close() {
	_ = p.listen.Close()
	close(p.thaw)
	p.mu.Lock()
	for c, out := range p.conns {
		_, _ = c.Close(), out.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
