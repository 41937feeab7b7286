package limit

import (
	"net"
	"sync"
	"sync/atomic"
)

// Listener closes new connections while most connections are open. It does not queue them: a client, such as a health
// probe, then fails at once instead of waiting.
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
			_ = c.Close() // nothing was sent yet
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
