package publish

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// servers requests the STUN and TURN servers of an endpoint, RFC 9725 section 4.6. The request comes before the offer,
// which holds all candidates. A server without ICE servers may refuse OPTIONS; that is not an error.
func (o *Options) servers(ctx context.Context, target string) ([]webrtc.ICEServer, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodOptions, target, nil)
	if err != nil {
		return nil, err
	}
	status, header, _, err := o.do(r)
	if err != nil || status >= 300 {
		return nil, err
	}
	return iceServers(header.Values("Link"))
}

// iceServers parses Link headers, RFC 8288, with rel="ice-server".
func iceServers(links []string) (list []webrtc.ICEServer, err error) {
	for _, header := range links {
		for _, link := range splitLinks(header) {
			address, parameters, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
			if !ok || !strings.HasPrefix(link, "<") {
				continue
			}
			_, p, parseErr := mime.ParseMediaType("link/link" + parameters)
			if parseErr != nil || p["rel"] != "ice-server" {
				continue
			}
			s := webrtc.ICEServer{URLs: []string{address}}
			if strings.HasPrefix(address, "turn") {
				if p["username"] == "" || p["credential"] == "" {
					err = errors.Join(err, errors.New("the server lists a TURN server without credentials"))
					continue
				}
				s.Username, s.Credential = p["username"], p["credential"]
			}
			list = append(list, s)
		}
	}
	return list, err
}

// splitLinks splits at commas outside of addresses and quotes.
func splitLinks(header string) (links []string) {
	var address, quoted, escaped bool
	rest := strings.FieldsFunc(header, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = r != '"', r == '\\'
		case address:
			address = r != '>'
		default:
			address, quoted = r == '<', r == '"'
			return r == ','
		}
		return false
	})
	for _, link := range rest {
		links = append(links, strings.TrimSpace(link))
	}
	return links
}
