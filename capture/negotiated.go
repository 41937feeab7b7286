package capture

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// payloadTypes finds out what the packets of a track may hold. The codec of the track decides the rate.
func (r *Recorder) payloadTypes(
	leg string,
	codec webrtc.RTPCodecParameters,
	negotiated []webrtc.RTPCodecParameters,
) (map[uint8]PayloadType, int, error) {
	types, rate := map[uint8]PayloadType{}, 0
	all := append([]webrtc.RTPCodecParameters{codec}, negotiated...)
	if strings.EqualFold(codec.MimeType, "audio/red") { // the first codec behind it is what it carries
		for _, c := range negotiated {
			if !strings.EqualFold(c.MimeType, "audio/red") && !strings.EqualFold(c.MimeType, "audio/telephone-event") &&
				!strings.EqualFold(c.MimeType, "audio/CN") {
				all = append([]webrtc.RTPCodecParameters{c}, all...)
				break
			}
		}
	}
	for i, c := range all {
		pt := uint8(c.PayloadType)
		if _, known := types[pt]; known {
			continue
		}
		p := PayloadType{ClockRate: c.ClockRate}
		switch strings.ToLower(c.MimeType) {
		case "audio/red":
			p.Kind = KindRED
		case "audio/telephone-event":
			p.Kind = KindEvent
		case "audio/cn":
			p.Kind = KindNoise
		default:
			d, hz, err := r.cfg.NewDecoder(leg, c.MimeType)
			if err != nil && i == 0 {
				return nil, 0, err
			}
			if rate == 0 {
				rate = hz
			}
			if err != nil || hz != rate {
				continue // packets of it are counted as malformed
			}
			p.Decoder = d
		}
		types[pt] = p
	}
	if rate == 0 {
		return nil, 0, fmt.Errorf("%s carries no audio by itself (hint: pass the negotiated codecs)", codec.MimeType)
	}
	return types, rate, nil
}
