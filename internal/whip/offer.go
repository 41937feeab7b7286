package whip

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// offer is a checked SDP offer.
type offer struct {
	sdp      string // the audio alone, in the form that the WebRTC library takes
	stereo   bool   // a codec of the audio can have two channels
	unbundle bool   // the audio was in no BUNDLE group, and the answer must not have one
	trickle  bool   // the sender announces trickle ICE
	active   bool   // the sender waits for this side to open the DTLS connection

	sections []*sdp.MediaDescription // as the sender wrote them
	checked  []string                // candidates that get checks
	audio    int                     // index of the section that is answered
	mids     []string                // sections whose candidates are those of the audio
}

// refused is the error of an unusable offer, with its HTTP status.
type refused struct {
	status int
	text   string
}

func (r *refused) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refused{status: status, text: fmt.Sprintf(format, args...)}
}

// readOffer checks an offer. The WebRTC library gets its audio alone, with all that the section inherits: it answers other
// sections wrongly, or not at all.
func readOffer(body string) (*offer, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(tidy(body)); err != nil {
		return nil, refuse(400, "the body is no SDP: %v", err)
	}
	if len(d.MediaDescriptions) == 0 {
		return nil, refuse(400, "the body is no SDP offer: it has no media")
	}
	if err := checkSize(&d); err != nil {
		return nil, err
	}
	o := &offer{sections: d.MediaDescriptions}
	var err error
	if o.audio, err = theAudio(&d); err != nil {
		return nil, err
	}
	m := o.sections[o.audio]
	codecs, formats := decodable(m)
	if len(formats) == 0 {
		return nil, refuse(406, "the offer has no codec that can be decoded (hint: opus, G722, PCMU or PCMA)")
	}
	group := bundleOf(&d, m)
	o.unbundle, o.mids = group == nil, group
	t, err := readTransport(&d, m, group)
	if err != nil {
		return nil, err
	}
	o.stereo, o.active, o.checked = stereo(codecs), t.setup == "passive", t.candidates
	options := append(values(d.Attributes, "ice-options"), values(m.Attributes, "ice-options")...)
	o.trickle = slices.ContainsFunc(options, func(v string) bool {
		return slices.Contains(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' }), "trickle")
	})
	mid := o.midOfAudio()
	if o.unbundle {
		o.mids = []string{mid}
	}
	alone := sdp.SessionDescription{Origin: d.Origin, SessionName: "-", TimeDescriptions: []sdp.TimeDescription{{}}}
	alone.WithValueAttribute("group", "BUNDLE "+mid)
	for _, key := range []string{"ice-lite", "ice-options"} {
		if v, ok := d.Attribute(key); ok {
			alone.Attributes = append(alone.Attributes, sdp.Attribute{Key: key, Value: v})
		}
	}
	one := &sdp.MediaDescription{MediaName: sdp.MediaName{
		Media:   "audio",
		Port:    sdp.RangedPort{Value: 9},
		Protos:  []string{"UDP", "TLS", "RTP", "SAVPF"},
		Formats: formats,
	}}
	one.WithValueAttribute("mid", mid).WithPropertyAttribute(direction(&d, m))
	one.Attributes = append(append(one.Attributes, t.attributes()...), codecs...)
	alone.MediaDescriptions = []*sdp.MediaDescription{one}
	out, err := alone.Marshal()
	if err != nil {
		return nil, refuse(400, "the body is no SDP: %v", err)
	}
	o.sdp = string(out)
	return o, nil
}

// tidy removes the white space at the ends of lines, and empty lines.
func tidy(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body) {
		if line = strings.TrimRight(line, " \t\r\n"); line == "s=" {
			line = "s=-"
		}
		if line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

// theAudio returns the index of the one section that sends audio.
func theAudio(d *sdp.SessionDescription) (int, error) {
	found := -1
	reason := refuse(406, "the offer has no audio")
	for i, m := range d.MediaDescriptions {
		if m.MediaName.Media != "audio" {
			continue
		}
		way := direction(d, m)
		switch {
		case m.MediaName.Port.Value == 0 && !bundleOnly(d, m):
			if found < 0 {
				reason = refuse(406, "the audio of the offer has port 0, which disables it (RFC 3264)")
			}
		case way == "recvonly" || way == "inactive":
			reason = refuse(422, "the audio of the offer is %s (hint: a sidecar only receives; offer sendonly)", way)
		case found >= 0:
			return 0, refuse(422, "the offer has two audio tracks (hint: a session is one leg; send the other to /whip/CALL/OTHERLEG)")
		default:
			found = i
		}
	}
	if found < 0 {
		return 0, reason
	}
	return found, nil
}

// direction returns that of a section: its own, else that of the session, else sendrecv (RFC 8866 section 6.7).
func direction(d *sdp.SessionDescription, m *sdp.MediaDescription) string {
	for _, attributes := range [][]sdp.Attribute{m.Attributes, d.Attributes} {
		for _, a := range attributes {
			switch a.Key {
			case "sendrecv", "sendonly", "recvonly", "inactive":
				return a.Key
			}
		}
	}
	return "sendrecv"
}

// bundleOnly reports whether port 0 of a section means that it shares the transport of others, RFC 9143 section 6.
func bundleOnly(d *sdp.SessionDescription, m *sdp.MediaDescription) bool {
	_, marked := m.Attribute("bundle-only")
	return marked && bundleOf(d, m) != nil
}

// bundleOf returns the mids of the BUNDLE group of a section, nil if it is in none.
func bundleOf(d *sdp.SessionDescription, m *sdp.MediaDescription) []string {
	mid, ok := m.Attribute("mid")
	if !ok {
		return nil
	}
	for _, a := range d.Attributes {
		if a.Key != "group" {
			continue
		}
		if words := strings.Fields(a.Value); len(words) > 1 && words[0] == "BUNDLE" && slices.Contains(words[1:], mid) {
			return words[1:]
		}
	}
	return nil
}

// midOfAudio returns the mid of the audio, or one that no section has.
func (o *offer) midOfAudio() string {
	if mid, ok := o.sections[o.audio].Attribute("mid"); ok && mid != "" {
		return mid
	}
	for i := o.audio; ; i++ {
		mid := fmt.Sprint(i)
		if !slices.ContainsFunc(o.sections, func(m *sdp.MediaDescription) bool { v, _ := m.Attribute("mid"); return v == mid }) {
			return mid
		}
	}
}
