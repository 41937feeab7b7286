package publish

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pion/webrtc/v4"

	"callscreen/encode"
)

// sameSample is the largest difference between two channels with the same audio: two steps of 16 bits, for rounding.
const sameSample = 2.0 / 32768

// LoadLegs reads each channel of a recording as a leg, named in order, further ones "leg3", "leg4". mono reports that all
// channels hold the same audio: then there is one leg only, the first.
func LoadLegs(ctx context.Context, file, codec string, names []string) (legs []Leg, mono bool, err error) {
	channels, mono, err := channels(ctx, file)
	if err != nil {
		return nil, false, err
	}
	if mono {
		channels = 1
	}
	for i := range channels {
		name := fmt.Sprintf("leg%d", i+1)
		if i < len(names) {
			name = names[i]
		}
		m, err := Load(ctx, file, codec, i)
		if err != nil {
			return nil, false, err
		}
		legs = append(legs, Leg{Name: name, Media: m})
	}
	return legs, mono, nil
}

// channels returns the number of channels, and whether all hold the same audio.
func channels(ctx context.Context, file string) (n int, same bool, err error) {
	src, err := encode.Open(ctx, file, nil)
	if err != nil {
		return 0, false, err
	}
	defer src.Close()
	n = src.Format().Channels
	block := make([]float32, 4096*n)
	for same = true; same; {
		read, err := src.Read(block)
		for i := range read {
			first := block[i/n*n]
			if d := block[i] - first; d > sameSample || d < -sameSample {
				same = false
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return 0, false, err
		}
	}
	return n, same, nil
}

// stereo reports whether a receiver can get two channels out of the recording.
func (m *Media) stereo() bool {
	if m.Codec.MimeType != webrtc.MimeTypeOpus {
		return false
	}
	for _, p := range m.Packets {
		if len(p.Payload) > 0 && p.Payload[0]&4 != 0 { // RFC 6716 section 3.1
			return true
		}
	}
	return false
}
