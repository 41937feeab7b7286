package whip

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

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
			kind, _, ok := strings.Cut(line, "=")
			switch {
			case ok && kind == "m":
				if sections++; sections > 1 {
					index++
				}
			case line == "" || ok && len(kind) == 1 && strings.Contains("avostc", kind):
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

// wanted returns the candidates of the named sections that get checks.
func (f *fragment) wanted(mids []string) (list []webrtc.ICECandidateInit) {
	for _, c := range f.candidates {
		if (*c.SDPMid == "" || slices.Contains(mids, *c.SDPMid)) && wanted(c.Candidate) {
			list = append(list, c)
		}
	}
	return list
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
func answerFragment(local string, mux bool) string {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(local); err != nil {
		return ""
	}
	ufrag, pwd, mid := credentials(local)
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\n", ufrag, pwd, mid)
	for _, m := range d.MediaDescriptions {
		for _, a := range m.Attributes {
			if a.Key == "candidate" && (!mux || !ofRTCP(a)) {
				fmt.Fprintf(&b, "a=candidate:%s\r\n", a.Value)
			}
		}
	}
	b.WriteString("a=end-of-candidates\r\n")
	return b.String()
}
