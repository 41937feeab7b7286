// Package address hides the secrets of web addresses from logs, errors, spans, tables and answers. Receivers of webhooks and
// media servers put secrets into the path and the query, databases and proxies into the user info: only scheme, host and port
// are shown.
package address

import (
	"net/url"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// Redact returns an address with its scheme, host and port. The rest is replaced by "[redacted]", if there is any, and so is
// the whole of a text that is neither an address with a host nor HOST:PORT.
func Redact(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		if scheme, _, ok := strings.Cut(text, "://"); ok && isScheme.MatchString(scheme) {
			return scheme + "://" + redacted
		}
		if text == "" || isHost.MatchString(text) {
			return text
		}
		return redacted
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		shown += redacted + "@"
	}
	shown += u.Host
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return shown + "/" + redacted
	}
	return shown + u.Path
}

var (
	isScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	isHost   = regexp.MustCompile(`^[A-Za-z0-9.-]+:[0-9]{1,5}$`)
	// quoted finds addresses as net/http and net/url quote them, also those that are not valid.
	quoted = regexp.MustCompile(`((?:parse|address|header|Get|Head|Post|Put|Patch|Delete) )?"((?:[^"\\]|\\.)*)"`)
	plain  = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]+`)
)

// Text redacts all addresses within a text, such as the message of an error.
func Text(text string) string {
	text = quoted.ReplaceAllStringFunc(text, func(m string) string {
		part := quoted.FindStringSubmatch(m)
		if part[1] == "" && !strings.Contains(part[2], "://") {
			return m
		}
		return part[1] + `"` + Redact(part[2]) + `"`
	})
	return plain.ReplaceAllStringFunc(text, func(m string) string {
		rest := strings.TrimRight(m, ".,:;)>")
		if strings.HasSuffix(rest, redacted) {
			return m
		}
		return Redact(rest) + m[len(rest):]
	})
}

// Error returns an error whose message has its addresses redacted. It wraps err. It returns nil for nil.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if shown := Text(text); shown != text {
		return &redactedError{shown, err}
	}
	return err
}

type redactedError struct {
	text string
	err  error
}

// Error implements error.
func (e *redactedError) Error() string { return e.text }

// Unwrap returns the error with its addresses.
func (e *redactedError) Unwrap() error { return e.err }
