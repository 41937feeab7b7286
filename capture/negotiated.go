package capture

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// payloadTypes returns the payload types that the packets of a track may have, and the rate of its first codec that can be
// decoded. Packets of codecs without a decoder are booked as unrecorded.
func (r *Recorder) payloadTypes(
	leg string,
	codec webrtc.RTPCodecParameters,
	negotiated []webrtc.RTPCodecParameters,
) (types map[uint8]PayloadType, rate int, err error) {
	types = map[uint8]PayloadType{}
	var errs []error
	for _, c := range append([]webrtc.RTPCodecParameters{codec}, negotiated...) {
		pt := uint8(c.PayloadType)
		if _, known := types[pt]; known || c.ClockRate == 0 {
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
				errs = append(errs, err)
				continue
			}
			if rate == 0 {
				rate = d.Rate()
			}
			p.Decoder = d
		}
		types[pt] = p
	}
	switch {
	case rate > 0:
		return types, rate, nil
	case len(errs) > 0:
		return nil, 0, errors.Join(errs...)
	}
	return nil, 0, fmt.Errorf("%s carries no audio by itself (hint: pass the negotiated codecs)", codec.MimeType)
}
