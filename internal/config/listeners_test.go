package config_test

import (
	"strings"
	"testing"

	"callscreen/internal/config"
)

func TestListenersAreValidated(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string // "" for none
	}{
		"an admin address without a port": {func(c *config.Config) { c.AdminListen = "127.0.0.1" }, "admin_listen: "},
		"twice the same address":          {func(c *config.Config) { c.AdminListen = c.Listen }, "is the same as listen"},
		"half a pair":                     {func(c *config.Config) { c.TLS.CertFile = "x.pem" }, "tls: one of the two files is missing"},
		"no requests":                     {func(c *config.Config) { c.WebRTC.RequestsPerSecond = 0 }, "webrtc.requests_per_second"},
		"an allowed address with scheme":  {func(c *config.Config) { c.WebhookAllow = []string{"https://crm.example.com"} }, "webhook_allow"},
		"an allowed wildcard":             {func(c *config.Config) { c.WebhookAllow = []string{"*.example.com"} }, "webhook_allow"},
		"an allowed port":                 {func(c *config.Config) { c.WebhookAllow = []string{"crm.example.com:443"} }, "webhook_allow"},
		"what may be allowed": {func(c *config.Config) {
			c.WebhookAllow = []string{"crm.example.com", "10.0.0.0/8", "10.0.0.1", "::1", "[::1]", "fd00::/8"}
		}, ""},
		"a short secret":         {func(c *config.Config) { c.Auth.JWT.Secret = "short" }, "auth.jwt.secret_file: the secret has 5 bytes"},
		"keys without an issuer": {func(c *config.Config) { c.Auth.JWT.JWKS = "keys.json" }, "tokens for other services would be accepted"},
		"keys over plain http": {func(c *config.Config) {
			c.Auth.JWT = config.JWT{JWKS: "http://login.example.com/keys", Issuer: "i", Audience: "a"}
		}, "plain http would let the network"},
		"keys from a web address": {func(c *config.Config) {
			c.Auth.JWT = config.JWT{JWKS: "https://login.example.com/keys", Issuer: "i", Audience: "a"}
		}, ""},
		"an issuer without keys":      {func(c *config.Config) { c.Auth.JWT.Issuer = "i" }, "auth.jwt.jwks: is empty"},
		"clocks that differ too much": {func(c *config.Config) { c.Auth.JWT.Leeway = 1 << 50 }, "auth.jwt.leeway"},
	} {
		cfg := config.Default()
		c.change(&cfg)
		err := cfg.Validate()
		if c.want == "" && err != nil ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "hint: ")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSecretOfSignedTokensIsNeverInTheFile(t *testing.T) {
	if _, err := load(t, "auth: {jwt: {secret: x}}"); err == nil || !strings.Contains(err.Error(), "CALLSCREEN_JWT_SECRET") {
		t.Error(err)
	}
	c, err := load(t, "", "CALLSCREEN_JWT_SECRET=0123456789012345678901234567890123456789")
	if err != nil || !c.Auth.JWT.On() || strings.Contains(c.Auth.JWT.Secret.String(), "0123") {
		t.Error(err, c.Auth.JWT)
	}
}
