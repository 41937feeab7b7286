package whip

import (
	"net/http"
	"net/url"
	"strings"
)

// mostPrefix bounds the path of a proxy.
const mostPrefix = 256

// location returns the address of a session: an absolute path, behind the path that a reverse proxy has stripped and names in
// X-Forwarded-Prefix. Some senders take a relative reference for the whole path, OBS Studio for one. The header needs no trust:
// it changes nothing but the answer to its own sender.
func location(r *http.Request, id string) string {
	return forwardedPrefix(r) + sessionPrefix + id
}

// forwardedPrefix returns the path of X-Forwarded-Prefix without a slash at the end, "" if there is none that is usable.
func forwardedPrefix(r *http.Request) string {
	prefix, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Prefix"), ",") // the first proxy is the one that the sender has reached
	prefix = strings.TrimRight(strings.TrimSpace(prefix), "/")
	u, err := url.Parse(prefix)
	switch {
	case prefix == "" || len(prefix) > mostPrefix || err != nil || u.EscapedPath() != prefix:
		return ""
	case !strings.HasPrefix(prefix, "/") || strings.HasPrefix(prefix, "//"):
		return ""
	}
	return prefix
}
