package whip_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"

	"callscreen/internal/whip"
)

func unlimited(c *whip.Config) { c.PerSecond = 1e6 }

// part is the session or a media section of a description, read line by line.
type part struct {
	kind, port, proto string
	formats           []string
	lines             []string
}

// values returns those of an attribute.
func (p part) values(key string) (list []string) {
	for _, line := range p.lines {
		if line == "a="+key {
			list = append(list, "")
		} else if v, ok := strings.CutPrefix(line, "a="+key+":"); ok {
			list = append(list, v)
		}
	}
	return list
}

func (p part) has(key string) bool { return len(p.values(key)) > 0 }

func (p part) mid() string { return strings.Join(p.values("mid"), "+") }

// codec returns the name of the codec of a payload type, in lower case.
func (p part) codec(format string) string {
	for _, v := range p.values("rtpmap") {
		if words := strings.Fields(v); words[0] == format {
			name, _, _ := strings.Cut(words[1], "/")
			return strings.ToLower(name)
		}
	}
	return map[string]string{"0": "pcmu", "8": "pcma", "9": "g722", "13": "cn"}[format]
}

// parts reads a description without the parser of the server: first the session, then the sections.
func parts(text string) []part {
	list := []part{{}}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \r\n")
		if media, ok := strings.CutPrefix(line, "m="); ok {
			words := strings.Fields(media)
			list = append(list, part{kind: words[0], port: words[1], proto: words[2], formats: words[3:]})
			continue
		}
		list[len(list)-1].lines = append(list[len(list)-1].lines, line)
	}
	return list
}

// judge posts an offer and compares the answer with the rules. The session is ended.
func (h *house) judge(offer string, want wanted) error {
	h.t.Helper()
	before := h.accepted()
	a := h.post(offer)
	if a.status != want.status {
		return fmt.Errorf("HTTP %d %s, want %d", a.status, a.body, want.status)
	}
	if a.status != http.StatusCreated {
		if h.accepted() != before || h.server.Stats().Open != 0 {
			return errors.New("a refused offer has left a call")
		}
		return nil
	}
	if d := h.ask(http.MethodDelete, a.header.Get("Location"), ""); d.status != http.StatusOK {
		return fmt.Errorf("DELETE: HTTP %d", d.status)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(a.body); err != nil {
		return fmt.Errorf("%w in %s", err, a.body)
	}
	if err := conforms(parts(offer), parts(a.body), want); err != nil {
		return fmt.Errorf("%w\n%s", err, a.body)
	}
	return nil
}

func (h *house) accepted() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// conforms compares an answer with its offer.
func conforms(offer, answer []part, want wanted) error {
	if len(offer) != len(answer) {
		return fmt.Errorf("%d sections for %d", len(answer)-1, len(offer)-1)
	}
	var kinds []string
	var audio part
	var errs []error
	for i, a := range answer[1:] {
		o := offer[i+1]
		kind := a.kind
		if a.port == "0" {
			kind += "-"
			errs = append(errs, rejects(o, a))
		} else {
			audio = a
			errs = append(errs, accepts(o, a, want))
		}
		kinds = append(kinds, kind)
		if o.kind != a.kind || o.proto != a.proto {
			errs = append(errs, fmt.Errorf("section %d is %s %s for %s %s", i, a.kind, a.proto, o.kind, o.proto))
		}
		if o.has("mid") && o.mid() != a.mid() {
			errs = append(errs, fmt.Errorf("section %d has the mid %q", i, a.mid()))
		}
	}
	if got := strings.Join(kinds, " "); got != want.sections {
		errs = append(errs, fmt.Errorf("the sections are %q, want %q", got, want.sections))
	}
	trickle := func(list []part) bool {
		return slices.ContainsFunc(list, func(p part) bool { return strings.Contains(strings.Join(p.values("ice-options"), " "), "trickle") })
	}
	if trickle(offer[:1]) && !trickle(answer[:1]) || trickle(answer) && !trickle(offer) {
		errs = append(errs, errors.New("trickle ICE is announced by one side alone"))
	}
	return errors.Join(append(errs, grouped(answer[0], audio, want))...)
}

// grouped checks the BUNDLE group of an answer: the audio alone, if it was in one.
func grouped(session, audio part, want wanted) error {
	var groups []string
	if want.bundle {
		groups = []string{"BUNDLE " + want.mid}
	}
	if got := session.values("group"); !slices.Equal(got, groups) {
		return fmt.Errorf("the groups are %q, want %q", got, groups)
	}
	if want.mid != "" && audio.mid() != want.mid {
		return fmt.Errorf("the mid is %q, want %q", audio.mid(), want.mid)
	}
	if n := len(session.values("fingerprint")) + len(audio.values("fingerprint")); n == 0 {
		return errors.New("there is no fingerprint")
	}
	return nil
}

// rejects checks the answer to a section that is not taken.
func rejects(o, a part) error {
	switch {
	case len(a.formats) != 1 || !slices.Contains(o.formats, a.formats[0]) || a.codec(a.formats[0]) != o.codec(a.formats[0]):
		return fmt.Errorf("a rejected section has the formats %v", a.formats)
	case a.has("candidate") || a.has("ice-ufrag") || a.has("setup") || a.has("bundle-only"):
		return errors.New("a rejected section has a transport")
	case !slices.ContainsFunc(a.lines, func(l string) bool { return strings.HasPrefix(l, "c=") }):
		return errors.New("a rejected section has no c= line")
	}
	return nil
}

// accepts checks the answer to the audio.
func accepts(o, a part, want wanted) error {
	var errs []error
	for _, key := range []string{"sendrecv", "sendonly", "inactive", "ssrc", "extmap", "bundle-only", "crypto"} {
		if a.has(key) {
			errs = append(errs, fmt.Errorf("there is a=%s", key))
		}
	}
	for _, key := range []string{"recvonly", "ice-ufrag", "ice-pwd", "mid"} {
		if n := len(a.values(key)); n != 1 {
			errs = append(errs, fmt.Errorf("a=%s %d times", key, n))
		}
	}
	for _, key := range []string{"rtcp-mux", "rtcp-rsize"} {
		if o.has(key) != a.has(key) && (a.has(key) || key == "rtcp-mux") {
			errs = append(errs, fmt.Errorf("a=%s: %v for %v", key, a.has(key), o.has(key)))
		}
	}
	if got := a.values("setup"); !slices.Equal(got, []string{want.setup}) {
		errs = append(errs, fmt.Errorf("a=setup:%v, want %s", got, want.setup))
	}
	if slices.ContainsFunc(a.values("candidate"), func(c string) bool { return o.has("rtcp-mux") && strings.Fields(c)[1] != "1" }) {
		errs = append(errs, errors.New("there is a candidate for RTCP beside a=rtcp-mux"))
	}
	if !a.has("candidate") {
		errs = append(errs, errors.New("there is no candidate"))
	}
	for _, f := range a.formats {
		if !slices.Contains(o.formats, f) || a.codec(f) != o.codec(f) {
			errs = append(errs, fmt.Errorf("payload type %s is %q, and was %q", f, a.codec(f), o.codec(f)))
		}
	}
	if got := a.codec(a.formats[0]); got != strings.ToLower(want.codec) {
		errs = append(errs, fmt.Errorf("the codec is %s, want %s", got, want.codec))
	}
	return errors.Join(errs...)
}
