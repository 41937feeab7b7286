package rtc

import (
	"errors"
	"net"
	"net/netip"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"
)

// budgetMux gives out connections on the shared ports that keep to a budget.
type budgetMux struct {
	ice.UDPMux
	budget *Budget
}

// GetConn implements ice.UDPMux.
func (m budgetMux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	c, err := m.UDPMux.GetConn(ufrag, addr)
	if err != nil {
		return nil, err
	}
	fast, ok := c.(ice.AddrPortReaderWriter)
	if !ok {
		return nil, errors.Join(errors.New("the connections of the shared ports have another form than expected"), c.Close())
	}
	return &budgetConn{PacketConn: c, fast: fast, budget: m.budget, local: portOf(c.LocalAddr())}, nil
}

// budgetConn is a connection that drops the checks beyond a budget. ICE takes them for lost.
type budgetConn struct {
	net.PacketConn
	fast   ice.AddrPortReaderWriter
	budget *Budget
	local  netip.AddrPort
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (c *budgetConn) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if !c.budget.take(c.local, plain(to), p) {
		return len(p), nil
	}
	n, err := c.fast.WriteToAddrPort(p, to)
	if err != nil {
		c.budget.failed(plain(to), p)
	}
	return n, err
}

// WriteTo implements net.PacketConn.
func (c *budgetConn) WriteTo(p []byte, to net.Addr) (int, error) {
	return c.WriteToAddrPort(p, portOf(to))
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (c *budgetConn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	n, from, err := c.fast.ReadFromAddrPort(p)
	if err == nil {
		c.budget.received(plain(from), p[:n])
	}
	return n, from, err
}

// ReadFrom implements net.PacketConn.
func (c *budgetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(p)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// budgetNet gives out sockets that keep to a budget: those of the candidates that a STUN server names.
type budgetNet struct {
	transport.Net
	budget *Budget
}

// ListenUDP implements transport.Net.
func (n budgetNet) ListenUDP(network string, at *net.UDPAddr) (transport.UDPConn, error) {
	c, err := n.Net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	return &budgetSocket{UDPConn: c, budget: n.budget, local: portOf(c.LocalAddr())}, nil
}

// budgetSocket is a socket that drops the checks beyond a budget.
type budgetSocket struct {
	transport.UDPConn
	budget *Budget
	local  netip.AddrPort
}

// WriteTo implements net.PacketConn.
func (s *budgetSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	if !s.budget.take(s.local, portOf(to), p) {
		return len(p), nil
	}
	n, err := s.UDPConn.WriteTo(p, to)
	if err != nil {
		s.budget.failed(portOf(to), p)
	}
	return n, err
}

// ReadFrom implements net.PacketConn.
func (s *budgetSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := s.UDPConn.ReadFrom(p)
	if err == nil {
		s.budget.received(portOf(from), p[:n])
	}
	return n, from, err
}

// portOf returns the address and port of a socket, without an IPv4-mapped form or a zone.
func portOf(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return plain(udp.AddrPort())
}

func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
