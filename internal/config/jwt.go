package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"callscreen/internal/address"
)

// JWT configures the signed tokens of senders.
type JWT struct {
	SecretFile string        `yaml:"secret_file"`
	Secret     Secret        `yaml:"-"` // CALLSCREEN_JWT_SECRET, or the content of SecretFile
	JWKS       string        `yaml:"jwks"`
	Issuer     string        `yaml:"issuer"`
	Audience   string        `yaml:"audience"`
	Leeway     time.Duration `yaml:"leeway"`
}

// On reports whether signed tokens are accepted.
func (j JWT) On() bool { return j.Secret != "" || j.JWKS != "" }

func (j JWT) validate(ps *Problems) {
	if j.Secret != "" && len(j.Secret) < 32 {
		ps.add(
			"auth.jwt.secret_file",
			"head -c 32 /dev/urandom | base64 > jwt.secret",
			"the secret has %d bytes, must have at least 32",
			len(j.Secret),
		)
	} else if why := j.Secret.Weakness(); j.Secret != "" && why != "" { // any token lets a stranger guess offline
		ps.add("auth.jwt.secret_file", StrongSecret, "the secret %s", why)
	}
	if j.Leeway < 0 || j.Leeway > 10*time.Minute {
		ps.add("auth.jwt.leeway", "30s is usual", "is %v, must be between 0s and 10m", j.Leeway)
	}
	if !j.On() && (j.Issuer != "" || j.Audience != "") {
		ps.add("auth.jwt.jwks", "set jwks or secret_file", "is empty, but other keys of auth.jwt are not")
	}
	if j.JWKS == "" {
		return
	}
	if j.Issuer == "" || j.Audience == "" {
		ps.add(
			"auth.jwt.audience",
			"set both issuer and audience",
			"is required with jwks: without it, tokens for other services would be accepted",
		)
	}
	if u, err := url.Parse(j.JWKS); strings.Contains(j.JWKS, "://") {
		switch {
		case err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "":
			ps.add("auth.jwt.jwks", "write https://HOST/PATH, or the name of a file", "%q is not an http or https URL", address.Redact(j.JWKS))
		case u.User != nil:
			ps.add("auth.jwt.jwks", "remove user and password, public keys need none", "must not contain credentials")
		case u.Scheme == "http" && !loopback(u.Hostname()):
			ps.add("auth.jwt.jwks", "write https://", "plain http would let the network replace the keys")
		}
	}
}
