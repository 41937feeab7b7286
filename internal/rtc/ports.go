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

// openUDP opens the port on each address of the machine. It skips an address that the kernel is still configuring, such
// as an IPv6 address during duplicate address detection, so that the other addresses are served.
func openUDP(port int, log *slog.Logger) (*ice.MultiUDPMuxDefault, error) {
	usable := func(ip net.IP) bool {
		if ip.To4() != nil {
			return true
		}
		if ip.IsLinkLocalUnicast() { // link-local addresses are not offered
			return false
		}
		c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: ip})
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			log.Warn(
				"address not ready, not used for media",
				"address",
				ip.String(),
				"hint",
				"restart callscreen if this address is needed",
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

// openMedia opens the port, or one that is free if it is 0. All addresses have the same port.
func openMedia(port int, log *slog.Logger) (int, *ice.MultiUDPMuxDefault, error) {
	const most = 20
	for tries := 1; ; tries++ {
		chosen := port
		if port == 0 {
			var err error
			if chosen, err = freePort(); err != nil {
				return 0, nil, err
			}
		}
		mux, err := openUDP(chosen, log)
		if port != 0 || tries == most || !errors.Is(err, syscall.EADDRINUSE) {
			return chosen, mux, err
		}
		// Another socket has got the port meanwhile, at some address.
	}
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

// behindNAT returns rules that offer public addresses instead of the local address that routes to them. Other local
// addresses are unchanged: a candidate belongs to the socket of its local address, and media for another address would
// be lost.
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

// towards returns the local address on the route to another address, or "" if there is no route. It sends nothing.
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
