package config

import (
	"net"
	"net/netip"
	"strings"

	"callscreen/internal/address"
)

// TLS configures the server certificate.
type TLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// On reports whether HTTPS is served.
func (t TLS) On() bool { return t.CertFile != "" }

// validateListeners checks the HTTP listeners and the lists of permitted destinations.
func (c Config) validateListeners(ps *Problems) {
	taken := map[string]string{c.Listen: "listen"}
	for _, l := range []struct{ key, address string }{{"admin_listen", c.AdminListen}, {"health_listen", c.HealthListen}} {
		if l.address == "" {
			continue
		}
		_, port, err := net.SplitHostPort(l.address)
		if err != nil {
			ps.add(l.key, "write host:port, such as 127.0.0.1:8081, or leave it empty", "%q is not an address", l.address)
		} else if other, ok := taken[l.address]; ok && port != "0" {
			ps.add(l.key, "use another port, or leave it empty", "is the same as %s", other)
		}
		taken[l.address] = l.key
	}
	if c.WebRTC.MaxSessionsPerToken < 0 {
		ps.add("webrtc.max_sessions_per_token", "0 is four fifths of max_sessions", "is %d", c.WebRTC.MaxSessionsPerToken)
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
				ps.add(path, "write 10.1.0.0/16 or crm.example.com, without scheme and path", "%q is neither a network nor a host",
					address.Text(one))
			}
			continue
		}
		if host := strings.Trim(one, "[]"); host == "" || strings.ContainsAny(host, " *") ||
			strings.Contains(host, ":") && net.ParseIP(host) == nil {
			ps.add(path, "write 10.1.0.0/16 or crm.example.com, without port and wildcard", "%q is neither a network nor a host", one)
		}
	}
}
