package rtc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// openUDP opens the port on each address of the machine. One that the kernel has not given out yet, as IPv6 addresses while
// they are looked for on the network, is left alone: it must not keep the others from being served.
func openUDP(port int, log *slog.Logger) (*ice.MultiUDPMuxDefault, error) {
	usable := func(ip net.IP) bool {
		if ip.To4() != nil {
			return true
		}
		if ip.IsLinkLocalUnicast() { // nobody is told of these
			return false
		}
		c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: ip})
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			log.Warn(
				"an address is not used for media, because the system has not got it ready yet",
				"address",
				ip.String(),
				"hint",
				"start again if it is needed",
			)
			return false
		}
		if err == nil {
			_ = c.Close() // nothing was sent
		}
		return true
	}
	return ice.NewMultiUDPMuxFromPort(port, ice.UDPMuxFromPortWithLoopback(), ice.UDPMuxFromPortWithReadBufferSize(ReceiveBuffer),
		ice.UDPMuxFromPortWithNetworks(ice.NetworkTypeUDP4, ice.NetworkTypeUDP6), ice.UDPMuxFromPortWithIPFilter(usable))
}

func freePort() (int, error) {
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	addr, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return 0, errors.New("no UDP address")
	}
	return addr.Port, nil
}

// behindNAT has public addresses offered in place of the local one that leads to them. The others stay as they are: a
// candidate belongs to the socket of its local address, and what arrives at another one would be lost.
func behindNAT(public []string) (rules []webrtc.ICEAddressRewriteRule, err error) {
	for _, is4 := range []bool{true, false} {
		rule := webrtc.ICEAddressRewriteRule{AsCandidateType: webrtc.ICECandidateTypeHost}
		for _, text := range public {
			ip, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("webrtc.public_ips: %w", err)
			}
			if ip.Unmap().Is4() != is4 {
				continue
			}
			rule.External = append(rule.External, text)
			if rule.Local == "" {
				rule.Local = towards(ip)
			}
		}
		if len(rule.External) > 0 {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// towards is the address that the machine has on the way to another one, or "" if there is no way. Nothing is sent.
func towards(ip netip.Addr) string {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 9)))
	if err != nil {
		return ""
	}
	defer c.Close()
	local, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return ""
	}
	return local.AddrPort().Addr().Unmap().WithZone("").String()
}
