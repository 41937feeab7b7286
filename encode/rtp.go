package encode

import (
	"fmt"
	"strings"
)

// RTPDecoder decodes the payloads of one RTP stream to mono 16-bit PCM. It keeps state from packet to packet and is not
// safe for concurrent use.
type RTPDecoder interface {
	// Rate of the audio in Hz: 16,000 for Opus and G.722, 8,000 for G.711.
	Rate() int
	// Decode appends the audio of one payload to dst. On an error dst is returned as it was. The payload is not kept.
	Decode(dst []int16, payload []byte) ([]int16, error)
	// Reset forgets what was decoded.
	Reset()
}

// CodecError says that there is no decoder for the codec of a stream.
type CodecError struct{ MimeType string }

func (e *CodecError) Error() string { return fmt.Sprintf("there is no decoder for %s", e.MimeType) }

// Hint says what to do about it.
func (e *CodecError) Hint() string { return "offer Opus, G722, PCMU or PCMA" }

// NewRTPDecoder makes a decoder for a codec by its media type, such as "audio/opus", in upper or lower case. channel is
// -1 for the mix of both channels of Opus, or 0 or 1 for one of two parties that share a stereo stream.
func NewRTPDecoder(mimeType string, channel int) (RTPDecoder, error) {
	switch strings.ToLower(mimeType) {
	case "audio/opus":
		return newRTPOpus(channel)
	case "audio/pcmu":
		return rtpG711{NewMuLawDecoder()}, nil
	case "audio/pcma":
		return rtpG711{NewALawDecoder()}, nil
	case "audio/g722":
		d := &rtpG722{}
		d.Reset()
		return d, nil
	}
	return nil, &CodecError{MimeType: mimeType}
}

type rtpG711 struct {
	decoder interface {
		Decode(dst []int16, src []byte) []int16
	}
}

func (d rtpG711) Rate() int { return 8000 }
func (d rtpG711) Reset()    {}
func (d rtpG711) Decode(dst []int16, payload []byte) ([]int16, error) {
	return d.decoder.Decode(dst, payload), nil
}

type rtpG722 struct{ decoder *G722Decoder }

func (d *rtpG722) Rate() int { return 16000 }
func (d *rtpG722) Reset()    { d.decoder = NewG722Decoder() }
func (d *rtpG722) Decode(dst []int16, payload []byte) ([]int16, error) {
	return d.decoder.Decode(dst, payload), nil
}
