package whip

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// checkAnswer returns the answer for the sender, or an error unless it accepts the audio: port 0 would be a refusal that looks
// like success. It has one section for each of the offer, in the same order (RFC 3264 section 6); all but the audio are
// rejected.
func (o *offer) checkAnswer(answer string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(answer); err != nil {
		return "", err
	}
	var audio *sdp.MediaDescription
	for _, m := range d.MediaDescriptions {
		if _, inactive := m.Attribute("inactive"); m.MediaName.Media == "audio" && m.MediaName.Port.Value != 0 && !inactive {
			audio = m
		}
	}
	if audio == nil {
		return "", refuse(406, "none of the codecs of the offer is supported (hint: opus, G722, PCMU or PCMA)")
	}
	d.MediaDescriptions = nil
	for i, m := range o.sections {
		if i == o.audio {
			d.MediaDescriptions = append(d.MediaDescriptions, o.accepted(audio))
		} else {
			d.MediaDescriptions = append(d.MediaDescriptions, rejected(m))
		}
	}
	if o.trickle { // RFC 8840
		d.WithValueAttribute("ice-options", "trickle")
	}
	if o.unbundle {
		d.Attributes = without(d.Attributes, "group")
	}
	out, err := d.Marshal()
	return string(out), err
}

// accepted returns the answer to the audio, with the profile and only the RTCP options of the offer.
func (o *offer) accepted(audio *sdp.MediaDescription) *sdp.MediaDescription {
	m := o.sections[o.audio]
	audio.MediaName.Protos = m.MediaName.Protos
	for _, key := range []string{"rtcp-mux", "rtcp-rsize"} {
		if _, ok := m.Attribute(key); !ok {
			audio.Attributes = without(audio.Attributes, key)
		}
	}
	if _, mux := m.Attribute("rtcp-mux"); mux {
		audio.Attributes = slices.DeleteFunc(audio.Attributes, ofRTCP)
	}
	return audio
}

// ofRTCP reports whether an attribute is a candidate of component 2, which is RTCP on a port of its own.
func ofRTCP(a sdp.Attribute) bool {
	words := strings.Fields(a.Value)
	return a.Key == "candidate" && len(words) > 1 && words[1] != "1"
}

// rejected returns the answer to a section that is not taken, RFC 8829 section 5.3.1. Its formats have no meaning, so that one is
// enough; with its rtpmap, because pion reads that of a rejected section too.
func rejected(m *sdp.MediaDescription) *sdp.MediaDescription {
	out := &sdp.MediaDescription{
		MediaName: m.MediaName,
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN",
			AddressType: "IP4",
			Address:     &sdp.Address{Address: "0.0.0.0"},
		},
	}
	out.MediaName.Port = sdp.RangedPort{}
	if len(m.MediaName.Formats) > 1 {
		out.MediaName.Formats = m.MediaName.Formats[:1]
	}
	for _, v := range values(m.Attributes, "rtpmap") {
		if format, _, _ := strings.Cut(v, " "); slices.Contains(out.MediaName.Formats, format) {
			out.WithValueAttribute("rtpmap", v)
			break
		}
	}
	if strings.Contains(strings.Join(m.MediaName.Protos, "/"), "RTP/") {
		out.WithPropertyAttribute("inactive")
	}
	if mid, ok := m.Attribute("mid"); ok {
		out.WithValueAttribute("mid", mid)
	}
	return out
}

func without(attributes []sdp.Attribute, key string) (kept []sdp.Attribute) {
	for _, a := range attributes {
		if a.Key != key {
			kept = append(kept, a)
		}
	}
	return kept
}
