package intake

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on the metadata of a call, which is stored and shown.
const (
	maxParameters = 32
	maxValue      = 256 // bytes
)

// ValidName reports whether s can be the name of a call or a leg.
func ValidName(s string) bool {
	return s != "" && len(s) <= 128 && s != "." && s != ".." && !strings.ContainsRune(s, '/') && !strings.ContainsFunc(s, unprintable)
}

// unprintable reports whether r must not stand in a name. Invalid UTF-8 would become another name in JSON, and no database
// takes it.
// Letters that show nothing would make two names look the same.
func unprintable(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r) || r == '\u2800' ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Metadata reads the metadata of a call from a query string.
func Metadata(raw string) (map[string]string, error) {
	query, err := url.ParseQuery(raw)
	if err != nil || len(query) > maxParameters {
		return nil, &Refusal{Kind: Invalid, Reason: fmt.Sprintf("the query cannot be read, or holds more than %d parameters", maxParameters)}
	}
	metadata := map[string]string{}
	for key, values := range query {
		value := values[len(values)-1]
		if !ValidName(key) || len(value) > maxValue || strings.ContainsFunc(value, unprintable) {
			return nil, &Refusal{Kind: Invalid, Reason: fmt.Sprintf("the query parameter %.40q is too long or not printable", key)}
		}
		metadata[key] = value
	}
	return metadata, nil
}

// Describe returns the request for a call and a leg whose query is raw. The parameter channels names two legs; all others are
// metadata.
func Describe(call, leg, raw string) (Request, error) {
	r := Request{Call: call, Leg: leg, Metadata: map[string]string{}}
	for what, name := range map[string]string{"call": call, "leg": leg} {
		if !ValidName(name) {
			return r, &Refusal{
				Kind:   Invalid,
				Reason: fmt.Sprintf("the name of the %s is empty, longer than 128 bytes or not printable", what),
			}
		}
	}
	metadata, err := Metadata(raw)
	if err != nil {
		return r, err
	}
	channels, two := metadata["channels"]
	delete(metadata, "channels")
	r.Metadata = metadata
	if !two {
		return r, nil
	}
	r.Channels = strings.Split(channels, ",")
	if len(r.Channels) != 2 || !ValidName(r.Channels[0]) || !ValidName(r.Channels[1]) || r.Channels[0] == r.Channels[1] {
		return r, &Refusal{Kind: Invalid, Reason: "channels must name two legs, as in ?channels=caller,agent"}
	}
	return r, nil
}
