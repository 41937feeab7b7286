package outbound

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"callscreen/internal/address"
)

// SameOrigin reports whether two web addresses have the same scheme, host and port (RFC 6454). A token that was given for one
// address is only sent to its origin.
func SameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && normal(a.Hostname()) == normal(b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	case strings.EqualFold(u.Scheme, "http"):
		return "80"
	}
	return ""
}

// ErrOtherOrigin is wrapped by the error of a request that was redirected to another origin.
var ErrOtherOrigin = errors.New("redirects to another origin are not followed")

// maxRedirects bounds the redirects within an origin.
const maxRedirects = 3

// WithinOrigin returns a client with the transport of c that follows redirects only within the origin of the request. net/http
// would send the token to other ports and to subdomains, also unencrypted.
func WithinOrigin(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		switch {
		case !SameOrigin(via[0].URL, r.URL):
			return fmt.Errorf("%s: %w", address.Redact(r.URL.String()), ErrOtherOrigin)
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}
	return &own
}
