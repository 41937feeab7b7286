package auth

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// peer returns the remote address of the connection.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap().WithZone("")
}

// trusted reports whether an address is a trusted proxy.
func (a *Auth) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(a.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// client returns the address of the client of a request, behind trusted proxies.
func (a *Auth) client(r *http.Request) netip.Addr {
	addr := peer(r)
	way := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(way) - 1; i >= 0 && a.trusted(addr); i-- {
		next, ok := forwarded(way[i])
		if !ok {
			break
		}
		addr = next
	}
	return addr
}

// forwarded reads an entry of X-Forwarded-For: an address, which some proxies write with the port of the client.
func forwarded(entry string) (netip.Addr, bool) {
	entry = strings.TrimSpace(entry)
	if with, err := netip.ParseAddrPort(entry); err == nil {
		return with.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(entry, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

// secure reports whether the browser uses TLS to this server or to a trusted proxy.
func (a *Auth) secure(r *http.Request) bool {
	return r.TLS != nil || a.trusted(peer(r)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// byProxy returns the user that a trusted proxy has authenticated.
func (a *Auth) byProxy(r *http.Request) (Identity, bool) {
	p := a.cfg.Proxy
	if p.UserHeader == "" || !a.trusted(peer(r)) {
		return Identity{}, false
	}
	name := strings.TrimSpace(r.Header.Get(p.UserHeader))
	if !validName(name) {
		return Identity{}, false
	}
	var groups []string
	if p.GroupsHeader != "" {
		for _, g := range strings.Split(strings.Join(r.Header.Values(p.GroupsHeader), ","), ",") {
			groups = append(groups, strings.TrimSpace(g))
		}
	}
	grants := a.grants.Load()
	return Identity{Name: name, Roles: grants.rolesOf(groups, grants.proxy)}, true
}

// validName reports whether a user name can be used in the audit log, in which the names "machine" and "anonymous" are
// reserved.
func validName(name string) bool {
	return name != "" && len(name) <= 200 && name != "machine" && name != Anonymous &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}
