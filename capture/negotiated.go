package capture

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// payloadTypes returns the payload types that the packets of a track may have. The codec of the track sets the rate.
func (r *Recorder) payloadTypes(
	leg string,
	codec webrtc.RTPCodecParameters,
	negotiated []webrtc.RTPCodecParameters,
) (map[uint8]PayloadType, int, error) {
	types, rate := map[uint8]PayloadType{}, 0
	all := append([]webrtc.RTPCodecParameters{codec}, negotiated...)
	if strings.EqualFold(codec.MimeType, "audio/red") { // it carries the first audio codec listed after it
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
			d, err := r.cfg.NewDecoder(leg, c.MimeType)
			if err != nil {
				if i == 0 {
					return nil, 0, err
				}
				continue // packets of it are counted as malformed
			}
			if rate == 0 {
				rate = d.Rate()
			}
			if d.Rate() != rate {
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
