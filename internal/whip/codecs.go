package whip

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// static holds the payload types that need no rtpmap, RFC 3551 section 6.
var static = map[string]string{"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", "13": "CN/8000"}

// decoded holds the codecs of speech, and companions those that only accompany them. Names are in lower case.
var (
	decoded    = []string{"opus/48000/2", "g722/8000", "pcmu/8000", "pcma/8000"}
	companions = []string{"red/48000/2", "telephone-event/8000", "telephone-event/48000", "cn/8000"}
)

// decodable returns the attributes and the payload types of a section that the WebRTC library gets. It returns none without a
// codec of speech.
func decodable(m *sdp.MediaDescription) (attributes []sdp.Attribute, formats []string) {
	maps, speech := rtpmaps(m), false
	for _, format := range m.MediaName.Formats {
		number, err := strconv.ParseUint(format, 10, 7)
		codec := normal(maps[format])
		if err != nil || strconv.FormatUint(number, 10) != format || slices.Contains(formats, format) {
			continue
		}
		switch name := strings.ToLower(codec); {
		case slices.Contains(decoded, name):
			speech = true
		case !slices.Contains(companions, name):
			continue
		}
		formats = append(formats, format)
		attributes = append(attributes, sdp.Attribute{Key: "rtpmap", Value: format + " " + codec})
		for _, a := range m.Attributes {
			of, value, _ := strings.Cut(strings.TrimSpace(a.Value), " ")
			if (a.Key == "fmtp" || a.Key == "rtcp-fb") && (of == format || a.Key == "rtcp-fb" && of == "*") {
				attributes = append(attributes, sdp.Attribute{Key: a.Key, Value: format + " " + strings.TrimSpace(value)})
			}
		}
	}
	if !speech {
		return nil, nil
	}
	return attributes, formats
}

// rtpmaps returns the codecs of a section by payload type.
func rtpmaps(m *sdp.MediaDescription) map[string]string {
	maps := map[string]string{}
	for _, a := range m.Attributes {
		if words := strings.Fields(a.Value); a.Key == "rtpmap" && len(words) == 2 && maps[words[0]] == "" {
			maps[words[0]] = words[1]
		}
	}
	for format, codec := range static {
		if maps[format] == "" {
			maps[format] = codec
		}
	}
	return maps
}

// normal returns a codec with the number of channels that its RFC requires. RFC 7587 section 7 requires two of opus even for
// mono, and some senders write one or none.
func normal(codec string) string {
	words := strings.Split(codec, "/")
	if len(words) < 2 || len(words) > 3 {
		return codec
	}
	name := strings.ToLower(words[0])
	switch {
	case (name == "opus" || name == "red") && words[1] == "48000" && (len(words) == 2 || words[2] == "1"):
		return words[0] + "/48000/2"
	case name != "opus" && name != "red" && len(words) == 3 && words[2] == "1":
		return words[0] + "/" + words[1]
	}
	return codec
}

// stereo reports whether a codec can have two channels.
func stereo(attributes []sdp.Attribute) bool {
	return slices.ContainsFunc(attributes, func(a sdp.Attribute) bool {
		_, codec, _ := strings.Cut(a.Value, " ")
		return a.Key == "rtpmap" && strings.HasPrefix(strings.ToLower(codec), "opus/")
	})
}
