package config

import (
	"net"
	"net/netip"
	"strings"
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
	if c.AdminListen != "" {
		if _, _, err := net.SplitHostPort(c.AdminListen); err != nil {
			ps.add("admin_listen", "write host:port, such as 127.0.0.1:8081, or leave it empty", "%q is not an address", c.AdminListen)
		} else if _, port, _ := net.SplitHostPort(c.Listen); c.AdminListen == c.Listen && port != "0" {
			ps.add("admin_listen", "use another port, or leave it empty", "is the same as listen")
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
				ps.add(path, "write 10.1.0.0/16 or crm.example.com, without scheme and path", "%q is neither a network nor a host", one)
			}
			continue
		}
		if host := strings.Trim(one, "[]"); host == "" || strings.ContainsAny(host, " *") ||
			strings.Contains(host, ":") && net.ParseIP(host) == nil {
			ps.add(path, "write 10.1.0.0/16 or crm.example.com, without port and wildcard", "%q is neither a network nor a host", one)
		}
	}
}
