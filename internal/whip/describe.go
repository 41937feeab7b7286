package whip

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// readSession takes from the URL what the sender says of itself.
func readSession(r *http.Request, token string) (Session, error) {
	c := Session{Call: r.PathValue("call"), Leg: r.PathValue("leg"), Token: token, Metadata: map[string]string{}}
	for what, name := range map[string]string{"call": c.Call, "leg": c.Leg} {
		if !ValidName(name) {
			return c, refuse(http.StatusBadRequest, "the name of the %s is empty, longer than 128 bytes or not printable", what)
		}
	}
	parameters, err := Metadata(r.URL.RawQuery)
	if err != nil {
		return c, err
	}
	for key, value := range parameters {
		if key != "channels" {
			c.Metadata[key] = value
			continue
		}
		c.Channels = strings.Split(value, ",")
		if len(c.Channels) != 2 || !ValidName(c.Channels[0]) || !ValidName(c.Channels[1]) || c.Channels[0] == c.Channels[1] {
			return c, refuse(http.StatusBadRequest, "channels must name two legs, as in ?channels=caller,agent")
		}
	}
	return c, nil
}

// ValidName tells whether a call or a leg may be called so.
func ValidName(s string) bool {
	return s != "" && len(s) <= 128 && s != "." && s != ".." && !strings.ContainsRune(s, '/') && !strings.ContainsFunc(s, unprintable)
}

// unprintable also holds for what is no UTF-8: it would become another name in JSON, and no database takes it.
func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
