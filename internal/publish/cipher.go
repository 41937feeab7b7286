package publish

import (
	"math/bits"
	"strings"

	"github.com/pion/webrtc/v4"
)

const (
	// cipherWindow is the number of payload bytes that are tested together: half a second of G.711.
	cipherWindow = 4096
	// uniformBelow is the chi-square statistic below which bytes are uniform. Random bytes have 255, and were below 360 in
	// 20,000 windows. Speech in G.711 and G.722 was above 1,700, and noise of any level above 600.
	uniformBelow = 450
	// Opus packets that are tested together, and the number of configurations among them that no encoder uses. Random
	// bytes have 20 of 32; encoders use one to four.
	cipherPackets = 32
	opusConfigs   = 12
)

// cipherDetector detects payloads that are encrypted, as those of SRTP are: their bytes are uniform. SRTP leaves the header of RTP
// in the clear, so that payload types and sequence numbers look right.
type cipherDetector struct {
	histogram [256]int
	bytes     int
	configs   uint32 // of Opus, a bit each
	packets   int
	encrypted bool // by the last window
}

// add tests a payload of a codec and reports whether the stream is encrypted.
func (c *cipherDetector) add(mimeType string, payload []byte) bool {
	if strings.EqualFold(mimeType, webrtc.MimeTypeOpus) {
		c.configs |= 1 << (payload[0] >> 3) // RFC 6716 section 3.1
		if c.packets++; c.packets == cipherPackets {
			*c = cipherDetector{encrypted: bits.OnesCount32(c.configs) >= opusConfigs}
		}
		return c.encrypted
	}
	for _, b := range payload {
		c.histogram[b]++
	}
	if c.bytes += len(payload); c.bytes >= cipherWindow {
		expected, chi := float64(c.bytes)/256, 0.0
		for _, n := range c.histogram {
			chi += (float64(n) - expected) * (float64(n) - expected) / expected
		}
		*c = cipherDetector{encrypted: chi < uniformBelow}
	}
	return c.encrypted
}
