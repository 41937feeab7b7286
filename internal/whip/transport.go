package whip

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// mostICEText is the limit of ice-ufrag and ice-pwd, RFC 8839 section 5.4. All checks carry the first.
const mostICEText = 256

// transport holds the attributes that describe the transport of the audio.
type transport struct {
	ufrag, pwd  string
	fingerprint string
	setup       string
	candidates  []string
}

// readTransport returns the transport of a section: its own attributes, else those of the session, else those of the first
// section of its BUNDLE group, whose transport it shares (RFC 9143 section 7.1.3).
func readTransport(d *sdp.SessionDescription, m *sdp.MediaDescription, group []string) (t transport, err error) {
	levels := [][]sdp.Attribute{m.Attributes, d.Attributes}
	shared := []*sdp.MediaDescription{m}
	if first := tagged(d, group); first != nil && first != m {
		levels = append(levels, first.Attributes)
		shared = append(shared, first)
	}
	for _, attributes := range levels {
		if ufrag := values(attributes, "ice-ufrag"); len(ufrag) > 0 && t.ufrag == "" {
			t.ufrag = ufrag[0]
			if pwd := values(attributes, "ice-pwd"); len(pwd) > 0 {
				t.pwd = pwd[0]
			}
		}
		if t.fingerprint == "" {
			t.fingerprint = strongest(values(attributes, "fingerprint"))
		}
		if setup := values(attributes, "setup"); len(setup) > 0 && t.setup == "" {
			t.setup = setup[0]
		}
	}
	switch {
	case t.ufrag == "" || t.pwd == "":
		return t, refuse(400, "the offer cannot be used: the audio has no ice-ufrag or ice-pwd")
	case t.fingerprint == "":
		return t, refuse(400, "the offer cannot be used: the audio has no DTLS fingerprint of a hash that is accepted (hint: sha-256)")
	}
	if err := checkICEText(t.ufrag, t.pwd); err != nil {
		return t, err
	}
	switch t.setup {
	case "": // RFC 4145 section 4
		t.setup = "active"
	case "active", "passive", "actpass":
	default:
		return t, refuse(422, "the offer has a=setup:%.20s (hint: actpass)", t.setup)
	}
	for _, s := range shared {
		if own := values(s.Attributes, "ice-ufrag"); len(own) > 0 && own[0] != t.ufrag {
			continue // before the answer a section of the group may have a transport of its own
		}
		for _, c := range values(s.Attributes, "candidate") {
			if len(t.candidates) < mostChecked && wanted(c) && parses(c) && !slices.Contains(t.candidates, c) {
				t.candidates = append(t.candidates, c)
			}
		}
	}
	return t, nil
}

// tagged returns the section whose transport a BUNDLE group shares: the first that has a port.
func tagged(d *sdp.SessionDescription, group []string) *sdp.MediaDescription {
	for _, mid := range group {
		for _, m := range d.MediaDescriptions {
			if v, ok := m.Attribute("mid"); ok && v == mid && m.MediaName.Port.Value != 0 {
				return m
			}
		}
	}
	return nil
}

func checkICEText(ufrag, pwd string) error {
	if len(ufrag) > mostICEText || len(pwd) > mostICEText {
		return refuse(400, "ice-ufrag or ice-pwd is longer than %d characters (RFC 8839)", mostICEText)
	}
	return nil
}

func values(attributes []sdp.Attribute, key string) (list []string) {
	for _, a := range attributes {
		if a.Key == key {
			list = append(list, strings.TrimSpace(a.Value))
		}
	}
	return list
}

// hashes holds the hashes of fingerprints, the preferred one first. RFC 8122 section 5 forbids MD2 and MD5.
var hashes = []string{"sha-256", "sha-384", "sha-512", "sha-224", "sha-1"}

// strongest returns the fingerprint with the preferred hash, "" if there is none.
func strongest(fingerprints []string) string {
	for _, hash := range hashes {
		for _, f := range fingerprints {
			if words := strings.Fields(f); len(words) == 2 && strings.EqualFold(words[0], hash) {
				return hash + " " + words[1]
			}
		}
	}
	return ""
}

func (t transport) attributes() []sdp.Attribute {
	list := []sdp.Attribute{
		{Key: "ice-ufrag", Value: t.ufrag},
		{Key: "ice-pwd", Value: t.pwd},
		{Key: "fingerprint", Value: t.fingerprint},
		{Key: "setup", Value: t.setup},
		{Key: "rtcp-mux"},
	}
	for _, c := range t.candidates {
		list = append(list, sdp.Attribute{Key: "candidate", Value: c})
	}
	return list
}
