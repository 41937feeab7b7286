package address

import (
	"net/url"
	"slices"
	"strings"
)

// leastSecret is the length from which a part of an address is looked for in texts.
const leastSecret = 6

// Echo redacts the answer of a server at target: it may repeat the token, or what it was asked for.
func Echo(text string, target *url.URL, token string) string {
	if token != "" {
		text = strings.ReplaceAll(text, token, redacted)
	}
	hidden := []string{target.RequestURI(), target.Path, target.EscapedPath(), target.RawQuery, target.Fragment}
	for _, path := range []string{target.Path, target.EscapedPath()} {
		hidden = append(hidden, strings.Split(path, "/")...)
	}
	for _, values := range target.Query() {
		hidden = append(hidden, values...)
	}
	if target.User != nil {
		password, _ := target.User.Password()
		hidden = append(hidden, target.User.String(), target.User.Username(), password)
	}
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) })
	for _, part := range hidden {
		if len(part) >= leastSecret {
			text = strings.ReplaceAll(text, part, redacted)
		}
	}
	return Text(text)
}
