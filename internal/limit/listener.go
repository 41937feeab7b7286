package limit

import (
	"net"
	"sync"
	"sync/atomic"
)

// Listener closes what connects while so many connections are open. It does not let them wait: who waits cannot be told
// from who is served, and a probe should learn at once.
func Listener(l net.Listener, most int64) net.Listener { return &listener{Listener: l, most: most} }

type listener struct {
	net.Listener
	most int64
	open atomic.Int64
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) > l.most {
			l.open.Add(-1)
			_ = c.Close() // nobody has been told anything yet
			continue
		}
		return &conn{Conn: c, leave: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
	}
}

type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}
