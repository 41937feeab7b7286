package whip

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"callscreen/internal/rtc"
)

// offer is a checked and repaired SDP offer.
type offer struct {
	sdp      string
	stereo   bool // a codec of the audio can have two channels
	unbundle bool // the offer had no BUNDLE group, and the answer must not have one
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

// readOffer checks an offer and repairs what pion answers or receives wrongly: without a BUNDLE group it refuses the media with
// port 0, without a mid it fails, and with declared SSRCs it drops the packets of all others.
func readOffer(body string) (*offer, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(body); err != nil {
		return nil, refuse(400, "the body is no SDP: %v", err)
	}
	if len(d.MediaDescriptions) == 0 {
		return nil, refuse(400, "the body is no SDP offer: it has no media")
	}
	if err := checkSize(&d); err != nil {
		return nil, err
	}
	var audio *sdp.MediaDescription
	for i, m := range d.MediaDescriptions {
		if m.MediaName.Media != "audio" {
			continue
		}
		if audio != nil {
			return nil, refuse(422, "the offer has two audio tracks (hint: a session is one leg; send the other to /whip/CALL/OTHERLEG)")
		}
		audio = m
		if _, ok := m.Attribute("mid"); !ok {
			m.WithValueAttribute("mid", fmt.Sprint(i))
		}
		for _, direction := range []string{"recvonly", "inactive"} {
			if _, ok := m.Attribute(direction); ok {
				return nil, refuse(422, "the audio of the offer is %s (hint: a sidecar only receives; offer sendonly)", direction)
			}
		}
		if !usable(m) {
			return nil, refuse(406, "the offer has no codec that can be decoded (hint: opus, G722, PCMU or PCMA)")
		}
	}
	if audio == nil {
		return nil, refuse(406, "the offer has no audio")
	}
	o := &offer{stereo: stereo(audio)}
	if _, ok := d.Attribute("group"); !ok {
		o.unbundle = true
		group := "BUNDLE"
		for i, m := range d.MediaDescriptions {
			mid, ok := m.Attribute("mid")
			if !ok {
				mid = fmt.Sprint(i)
				m.WithValueAttribute("mid", mid)
			}
			group += " " + mid
		}
		d.WithValueAttribute("group", group)
	}
	out, err := d.Marshal()
	if err != nil {
		return nil, refuse(400, "the body is no SDP: %v", err)
	}
	o.sdp = rtc.WithoutSources(string(out))
	return o, nil
}

// stereo reports whether a codec of a media section can have two channels.
func stereo(m *sdp.MediaDescription) bool {
	for _, a := range m.Attributes {
		if _, codec, _ := strings.Cut(a.Value, " "); a.Key == "rtpmap" && strings.HasPrefix(strings.ToLower(codec), "opus/") {
			return true
		}
	}
	return false
}

// usable reports whether one of the codecs of a media section can be decoded.
func usable(m *sdp.MediaDescription) bool {
	for _, format := range m.MediaName.Formats {
		switch format { // static payload types need no rtpmap
		case "0", "8", "9":
			return true
		}
	}
	for _, a := range m.Attributes {
		if a.Key != "rtpmap" {
			continue
		}
		_, codec, _ := strings.Cut(a.Value, " ")
		name, _, _ := strings.Cut(strings.ToLower(codec), "/")
		switch name {
		case "opus", "g722", "pcmu", "pcma":
			return true
		}
	}
	return false
}

// checkAnswer returns an error unless the answer accepts the audio: port 0 would be a refusal that looks like success.
func (o *offer) checkAnswer(answer string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(answer); err != nil {
		return "", err
	}
	taken := false
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Media == "audio" && m.MediaName.Port.Value != 0 {
			_, inactive := m.Attribute("inactive")
			taken = taken || !inactive
		}
	}
	if !taken {
		return "", refuse(406, "none of the codecs of the offer is supported (hint: opus, G722, PCMU or PCMA)")
	}
	if !o.unbundle {
		return answer, nil
	}
	var kept []sdp.Attribute
	for _, a := range d.Attributes {
		if a.Key != "group" {
			kept = append(kept, a)
		}
	}
	d.Attributes = kept
	out, err := d.Marshal()
	return string(out), err
}

// fragment is a body of application/trickle-ice-sdpfrag, RFC 8840.
type fragment struct {
	ufrag, pwd string
	candidates []webrtc.ICECandidateInit
}

func readFragment(body string) (*fragment, error) {
	f := &fragment{}
	mid, index := "", uint16(0)
	sections := 0
	for line := range strings.SplitSeq(strings.ReplaceAll(body, "\r\n", "\n"), "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "a=ice-ufrag":
			f.ufrag = value
		case "a=ice-pwd":
			f.pwd = value
		case "a=mid":
			mid = value
		case "a=candidate":
			m, i := mid, index
			f.candidates = append(f.candidates, webrtc.ICECandidateInit{Candidate: "candidate:" + value, SDPMid: &m, SDPMLineIndex: &i})
		default:
			switch {
			case strings.HasPrefix(line, "m="):
				if sections++; sections > 1 {
					index++
				}
			case line == "" || strings.HasPrefix(
				line,
				"a=",
			) || strings.HasPrefix(
				line,
				"v=",
			) || strings.HasPrefix(line, "o=") || strings.HasPrefix(line, "s=") || strings.HasPrefix(line, "t=") || strings.HasPrefix(line, "c="):
			default:
				return nil, errors.New("the body is no SDP fragment")
			}
		}
		if len(f.candidates) > mostCandidates {
			return nil, errors.New("the fragment has too many candidates")
		}
	}
	if f.ufrag == "" && f.pwd == "" && len(f.candidates) == 0 && !strings.Contains(body, "a=end-of-candidates") {
		return nil, errors.New("the fragment holds neither candidates nor credentials")
	}
	return f, nil
}

// credentials returns those of the first media section, or of the session.
func credentials(text string) (ufrag, pwd, mid string) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return "", "", ""
	}
	ufrag, _ = d.Attribute("ice-ufrag")
	pwd, _ = d.Attribute("ice-pwd")
	for _, m := range d.MediaDescriptions {
		if v, ok := m.Attribute("ice-ufrag"); ok {
			ufrag = v
			pwd, _ = m.Attribute("ice-pwd")
			mid, _ = m.Attribute("mid")
			break
		}
	}
	return ufrag, pwd, mid
}

// restarted returns the offer with new ICE credentials and candidates.
func restarted(text string, f *fragment) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return "", err
	}
	replace := func(attributes []sdp.Attribute, candidates bool) (out []sdp.Attribute) {
		for _, a := range attributes {
			switch a.Key {
			case "ice-ufrag":
				a.Value = f.ufrag
			case "ice-pwd":
				a.Value = f.pwd
			case "candidate", "end-of-candidates":
				continue
			}
			out = append(out, a)
		}
		if candidates {
			for _, c := range f.candidates {
				out = append(out, sdp.Attribute{Key: "candidate", Value: strings.TrimPrefix(c.Candidate, "candidate:")})
			}
		}
		return out
	}
	d.Attributes = replace(d.Attributes, false)
	for i, m := range d.MediaDescriptions {
		m.Attributes = replace(m.Attributes, i == 0)
	}
	d.Origin.SessionVersion++
	out, err := d.Marshal()
	return string(out), err
}

// answerFragment returns the part of an answer that a client needs after an ICE restart.
func answerFragment(local string) string {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(local); err != nil {
		return ""
	}
	ufrag, pwd, mid := credentials(local)
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\n", ufrag, pwd, mid)
	for _, m := range d.MediaDescriptions {
		for _, a := range m.Attributes {
			if a.Key == "candidate" {
				fmt.Fprintf(&b, "a=candidate:%s\r\n", a.Value)
			}
		}
	}
	b.WriteString("a=end-of-candidates\r\n")
	return b.String()
}
