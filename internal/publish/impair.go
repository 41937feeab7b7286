package publish

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Impairment simulates a bad network. STUN and DTLS pass unharmed, so that the call is always set up.
type Impairment struct {
	Loss   float64       // share of lost packets, 0..1
	Burst  int           // number of consecutive lost packets; 0 means 1
	Jitter time.Duration // each packet is delayed by a random time up to this
	// Blackout drops all packets in both directions, STUN and DTLS included, while it returns true. nil means never.
	Blackout func() bool
}

func (i Impairment) none() bool { return i.Loss == 0 && i.Jitter == 0 && i.Blackout == nil }

// impaired is a socket with simulated loss and jitter.
type impaired struct {
	net.PacketConn
	how Impairment

	mu      sync.Mutex
	random  *rand.Rand
	losing  int // remaining packets of the burst
	closed  bool
	delayed sync.WaitGroup
}

func impair(conn net.PacketConn, how Impairment, seed uint64) net.PacketConn {
	if how.none() {
		return conn
	}
	how.Burst = max(how.Burst, 1)
	return &impaired{PacketConn: conn, how: how, random: rand.New(rand.NewPCG(seed, 1))}
}

// WriteTo sends, drops or delays a packet.
func (c *impaired) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.how.Blackout != nil && c.how.Blackout() {
		return len(p), nil
	}
	if len(p) == 0 || p[0] < 128 || p[0] > 191 { // RFC 7983: neither RTP nor RTCP
		return c.PacketConn.WriteTo(p, to)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, net.ErrClosed
	}
	if c.losing == 0 && c.random.Float64() < c.how.Loss/float64(c.how.Burst) {
		c.losing = c.how.Burst
	}
	lost := c.losing > 0
	if lost {
		c.losing--
	}
	delay := time.Duration(0)
	if c.how.Jitter > 0 {
		delay = time.Duration(c.random.Int64N(int64(c.how.Jitter) + 1))
	}
	if !lost && delay > 0 {
		c.delayed.Add(1)
	}
	c.mu.Unlock()
	switch {
	case lost:
		return len(p), nil
	case delay == 0:
		return c.PacketConn.WriteTo(p, to)
	}
	held := append([]byte(nil), p...)
	time.AfterFunc(delay, func() {
		defer c.delayed.Done()
		_, _ = c.PacketConn.WriteTo(held, to) // a packet that cannot be sent is lost
	})
	return len(p), nil
}

// ReadFrom ignores packets that arrive during a blackout.
func (c *impaired) ReadFrom(p []byte) (n int, from net.Addr, err error) {
	for {
		n, from, err = c.PacketConn.ReadFrom(p)
		if err != nil || c.how.Blackout == nil || !c.how.Blackout() {
			return n, from, err
		}
	}
}

// Close waits for delayed packets.
func (c *impaired) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.delayed.Wait()
	return c.PacketConn.Close()
}
