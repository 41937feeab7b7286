package publish

import (
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// rtpTrack is a track whose packets may change the codec, within those that were negotiated. Packets have the payload types
// of the offer.
type rtpTrack struct {
	codecs []webrtc.RTPCodecCapability // that of the first packets comes first

	mu      sync.Mutex
	context webrtc.TrackLocalContext // nil while it is not connected
	types   map[uint8]uint8          // payload types of the offer to those of the answer
}

// Bind implements webrtc.TrackLocal.
func (t *rtpTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first *webrtc.RTPCodecParameters
	types := map[uint8]uint8{}
	for _, codec := range t.codecs {
		for _, p := range c.CodecParameters() {
			if !strings.EqualFold(p.MimeType, codec.MimeType) {
				continue
			}
			if first == nil {
				first = &p
			}
			types[uint8(payloadType(codec.MimeType))] = uint8(p.PayloadType)
			break
		}
	}
	if first == nil {
		return webrtc.RTPCodecParameters{}, errors.New("the server takes none of the codecs")
	}
	t.context, t.types = c, types
	return *first, nil
}

// Unbind implements webrtc.TrackLocal.
func (t *rtpTrack) Unbind(webrtc.TrackLocalContext) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.context = nil
	return nil
}

// ID implements webrtc.TrackLocal.
func (t *rtpTrack) ID() string { return "audio" }

// RID implements webrtc.TrackLocal.
func (t *rtpTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal.
func (t *rtpTrack) StreamID() string { return "callscreen" }

// Kind implements webrtc.TrackLocal.
func (t *rtpTrack) Kind() webrtc.RTPCodecType { return webrtc.RTPCodecTypeAudio }

// WriteRTP sends a packet with the SSRC of the session. A packet whose codec was not negotiated keeps its payload and gets a
// payload type that was not negotiated either, so that the server counts it.
func (t *rtpTrack) WriteRTP(p *rtp.Packet) error {
	t.mu.Lock()
	c := t.context
	payloadType, ok := t.types[p.PayloadType]
	t.mu.Unlock()
	if c == nil {
		return io.ErrClosedPipe
	}
	header := p.Header
	header.SSRC, header.PayloadType = uint32(c.SSRC()), payloadType
	if !ok {
		header.PayloadType = notNegotiated
	}
	_, err := c.WriteStream().WriteRTP(&header, p.Payload)
	return err
}
