package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TLS says with what the server proves who it is.
type TLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// On tells whether HTTPS is served.
func (t TLS) On() bool { return t.CertFile != "" }

// JWT says which signed tokens of senders are good.
type JWT struct {
	SecretFile string        `yaml:"secret_file"`
	Secret     Secret        `yaml:"-"` // CALLSCREEN_JWT_SECRET, or the content of SecretFile
	JWKS       string        `yaml:"jwks"`
	Issuer     string        `yaml:"issuer"`
	Audience   string        `yaml:"audience"`
	Leeway     time.Duration `yaml:"leeway"`
}

// On tells whether signed tokens are good for anything.
func (j JWT) On() bool { return j.Secret != "" || j.JWKS != "" }

// validateDoors judges what lets others in, and where messages go out.
func (c Config) validateDoors(ps *Problems) {
	if c.AdminListen != "" {
		if _, _, err := net.SplitHostPort(c.AdminListen); err != nil {
			ps.add("admin_listen", "write host:port, such as 127.0.0.1:8081, or leave it empty", "%q is no address", c.AdminListen)
		} else if _, port, _ := net.SplitHostPort(c.Listen); c.AdminListen == c.Listen && port != "0" {
			ps.add("admin_listen", "take another port, or leave it empty", "is the same as listen")
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		ps.add("tls", "set both cert_file and key_file, or neither", "one of the two files is missing")
	}
	if !(c.WebRTC.RequestsPerSecond > 0) {
		ps.add("webrtc.requests_per_second", "50 is usual", "is %v, must be positive", c.WebRTC.RequestsPerSecond)
	}
	checkAllow(ps, "webhook_allow", c.WebhookAllow)
	checkAllow(ps, "webrtc.whep_allow", c.WebRTC.WHEPAllow)
}

func checkAllow(ps *Problems, path string, list []string) {
	for _, one := range list {
		if strings.Contains(one, "/") {
			if _, err := netip.ParsePrefix(one); err != nil {
				ps.add(path, "write 10.1.0.0/16 or crm.example.com, without https:// and path", "%q is neither a network nor a host", one)
			}
			continue
		}
		if host := strings.Trim(one, "[]"); host == "" || strings.ContainsAny(host, " *") ||
			strings.Contains(host, ":") && net.ParseIP(host) == nil {
			ps.add(path, "write 10.1.0.0/16 or crm.example.com, without port and wildcard", "%q is neither a network nor a host", one)
		}
	}
}

func (j JWT) validate(ps *Problems) {
	if j.Secret != "" && len(j.Secret) < 32 {
		ps.add(
			"auth.jwt.secret_file",
			"head -c 32 /dev/urandom | base64 > jwt.secret",
			"the secret has %d bytes, and could be guessed: 32 are the least",
			len(j.Secret),
		)
	}
	if j.Leeway < 0 || j.Leeway > 10*time.Minute {
		ps.add("auth.jwt.leeway", "30s is usual", "is %v, must be between 0s and 10m", j.Leeway)
	}
	if !j.On() && (j.Issuer != "" || j.Audience != "") {
		ps.add("auth.jwt.jwks", "name the keys here, or set secret_file", "is empty, but other keys of auth.jwt are not")
	}
	if j.JWKS == "" {
		return
	}
	if j.Issuer == "" || j.Audience == "" {
		ps.add("auth.jwt.audience", "name both issuer and audience", "without them every token of the provider would be good here")
	}
	if u, err := url.Parse(j.JWKS); strings.Contains(j.JWKS, "://") {
		switch {
		case err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "":
			ps.add("auth.jwt.jwks", "write https://, or the name of a file", "%q is no web address", j.JWKS)
		case u.User != nil:
			ps.add("auth.jwt.jwks", "public keys need none", "must not hold credentials")
		case u.Scheme == "http" && !loopback(u.Hostname()):
			ps.add("auth.jwt.jwks", "write https://", "would take keys from whoever is on the way")
		}
	}
}
