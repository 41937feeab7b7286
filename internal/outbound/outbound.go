// Package outbound restricts outgoing connections whose destination is set by clients or by configuration.
package outbound

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// List holds the permitted destinations. The zero value permits all.
//
// The check uses the address of the connection, after DNS resolution, so a name that resolves differently the second
// time gains nothing. A host listed by name may have any public address. Private addresses and those of this machine
// must be in a listed network.
type List struct {
	hosts    []string
	networks []netip.Prefix
}

// Parse parses host names, addresses and networks.
func Parse(list []string) (l List, err error) {
	for _, one := range list {
		if addr, err := netip.ParseAddr(strings.Trim(one, "[]")); err == nil {
			l.networks = append(l.networks, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		if !strings.Contains(one, "/") {
			l.hosts = append(l.hosts, normal(one))
			continue
		}
		network, err := netip.ParsePrefix(one)
		if err != nil {
			return List{}, err
		}
		l.networks = append(l.networks, network.Masked())
	}
	return l, nil
}

func normal(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Empty reports whether everything is permitted.
func (l List) Empty() bool { return len(l.hosts) == 0 && len(l.networks) == 0 }

// Allows reports whether a connection to a host at an address is permitted.
func (l List) Allows(host string, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return l.Empty() || slices.ContainsFunc(l.networks, func(n netip.Prefix) bool { return n.Contains(addr) }) ||
		slices.Contains(l.hosts, normal(host)) && public(addr)
}

// special holds networks that lead to this machine, to the local network, or through translation to other addresses,
// and that package netip does not classify. IANA special-purpose address registries, RFC 6890.
var special = []netip.Prefix{
	netip.MustParsePrefix(
		"0.0.0.0/8",
	), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix(
		"240.0.0.0/4",
	), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func public(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !slices.ContainsFunc(special, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Transport returns a transport that only connects to permitted destinations. key is the name of the list in the
// configuration. With a list, no proxy of the environment is used, because a proxy resolves names itself.
func (l List) Transport(key string) *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second}
	if l.Empty() {
		return t
	}
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, at string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(at)
			if err != nil {
				return err
			}
			if !l.Allows(host, to.Addr()) {
				return fmt.Errorf("%s at %s is not allowed (hint: %s)", host, to.Addr(), key)
			}
			return nil
		}}
		return d.DialContext(ctx, network, address)
	}
	return t
}
