package config

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"callscreen/internal/address"
)

// roles are the roles that a token, group or user can have.
var roles = []string{"ingest", "viewer", "reviewer", "admin"}

// reserved are the user names that the audit log uses itself.
var reserved = []string{"machine", "anonymous"}

func (a Auth) validate(ps *Problems) {
	names := map[string][]string{}
	for i, t := range a.Tokens {
		t.validate(ps, i)
		if other, twice := names[t.Name]; twice && !slices.Equal(other, t.Roles) {
			hint := "two tokens of one user, as while one replaces the other, have the same roles"
			ps.add(fmt.Sprintf("auth.tokens[%d].name", i), hint, "%q is the name of a token with other roles", t.Name)
		}
		names[t.Name] = t.Roles
	}
	if a.Session.Idle < time.Minute {
		ps.add("auth.session.idle", "30m is usual", "is %v, must be at least 1m", a.Session.Idle)
	}
	if a.Session.Max < a.Session.Idle {
		ps.add("auth.session.max", "12h is usual", "is %v, less than idle %v", a.Session.Max, a.Session.Idle)
	}
	for _, p := range a.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			ps.add("auth.trusted_proxies", "write 10.0.0.0/24, or 10.0.0.7/32 for a single address", "%q is not a network", p)
		}
	}
	for i, g := range a.Groups {
		path := fmt.Sprintf("auth.groups[%d]", i)
		if g.Group == "" {
			ps.add(path+".group", "write the name that the provider or the proxy uses", "is empty")
		}
		checkRoles(ps, path+".roles", g.Roles, true)
	}
	a.Proxy.validate(ps, a)
	if a.OIDC.Issuer != "" {
		a.OIDC.validate(ps, a)
	}
	a.JWT.validate(ps)
}

func checkRoles(ps *Problems, path string, list []string, needed bool) {
	if len(list) == 0 && needed {
		ps.add(path, "roles are "+strings.Join(roles, ", "), "is empty")
	}
	for _, r := range list {
		if !slices.Contains(roles, r) {
			ps.add(path, "roles are "+strings.Join(roles, ", "), "%q is not a role", r)
		}
	}
}

func (t Token) validate(ps *Problems, i int) {
	path := fmt.Sprintf("auth.tokens[%d]", i)
	if t.Name == "" {
		ps.add(path+".name", "set the name that the audit log shows", "is empty")
	}
	if slices.Contains(reserved, t.Name) {
		ps.add(path+".name", "the audit log uses this name itself: choose another", "must not be %q", t.Name)
	}
	checkRoles(ps, path+".roles", t.Roles, true)
	if sum, err := hex.DecodeString(t.SHA256); err != nil || len(sum) != 32 {
		ps.add(path+".sha256", "make it with: printf %s TOKEN | sha256sum", "is not a SHA-256 in hexadecimal")
	}
}

func (p Proxy) validate(ps *Problems, a Auth) {
	checkRoles(ps, "auth.proxy.roles", p.Roles, false)
	for path, h := range map[string]string{"user_header": p.UserHeader, "groups_header": p.GroupsHeader} {
		if strings.ContainsFunc(h, func(r rune) bool {
			return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			ps.add("auth.proxy."+path, "write a name such as X-Forwarded-User", "%q is not a header name", h)
		}
	}
	switch {
	case p.UserHeader == "" && (p.GroupsHeader != "" || len(p.Roles) > 0):
		ps.add("auth.proxy.user_header", "write a name such as X-Forwarded-User", "is empty, but other keys of auth.proxy are not")
	case p.UserHeader != "" && len(a.TrustedProxies) == 0:
		ps.add(
			"auth.trusted_proxies",
			"list the networks of the proxy, otherwise any client could claim any user name",
			"is empty, but auth.proxy.user_header is not",
		)
	case p.UserHeader != "" && len(p.Roles) == 0 && (p.GroupsHeader == "" || len(a.Groups) == 0):
		ps.add("auth.proxy.roles", "set roles here, or groups_header and auth.groups", "users of the proxy would have no role")
	}
}

func (o OIDC) validate(ps *Problems, a Auth) {
	for path, text := range map[string]string{"issuer": o.Issuer, "redirect_url": o.RedirectURL} {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			ps.add("auth.oidc."+path, "write https://HOST", "%q is not an http or https URL", address.Redact(text))
		case u.Scheme == "http" && !loopback(u.Hostname()):
			ps.add("auth.oidc."+path, "write https://", "would sign people in unencrypted")
		case path == "redirect_url" && u.Path != "/login/oidc/callback":
			ps.add("auth.oidc.redirect_url", "write https://HOST/login/oidc/callback", "must have the path /login/oidc/callback")
		}
	}
	if o.ClientID == "" {
		ps.add("auth.oidc.client_id", "take it from the registration at the provider", "is empty")
	}
	if !slices.Contains(o.Scopes, "openid") {
		ps.add("auth.oidc.scopes", "write [openid, profile, email]", "openid is missing")
	}
	if o.NameClaim == "" {
		ps.add("auth.oidc.name_claim", "email is usual", "is empty")
	}
	checkRoles(ps, "auth.oidc.roles", o.Roles, false)
	if len(o.Roles) == 0 && (o.GroupsClaim == "" || len(a.Groups) == 0) {
		ps.add("auth.oidc.roles", "set roles here, or groups_claim and auth.groups", "users who sign in would have no role")
	}
}
