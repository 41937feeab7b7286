package capture

import "errors"

var errRED = errors.New("malformed RED payload")

// redBlock is one of the payloads in a RED payload.
type redBlock struct {
	payloadType uint8
	offset      uint32 // ticks by which its timestamp precedes that of the packet
	payload     []byte
}

// maxRED bounds the copies in a packet; senders use one or two, Chromium up to nine.
const maxRED = 16

// parseRED splits a payload of RFC 2198 into its blocks, oldest first, the primary block last. The blocks alias payload.
func parseRED(blocks []redBlock, payload []byte) ([]redBlock, error) {
	blocks = blocks[:0]
	var sizes [maxRED]int
	rest := payload
	for {
		if len(rest) == 0 || len(blocks) == maxRED {
			return nil, errRED
		}
		pt := rest[0] & 0x7f
		if rest[0]&0x80 == 0 {
			blocks, rest = append(blocks, redBlock{payloadType: pt}), rest[1:]
			break
		}
		if len(rest) < 4 {
			return nil, errRED
		}
		sizes[len(blocks)] = int(rest[2]&0x03)<<8 | int(rest[3])
		blocks = append(blocks, redBlock{payloadType: pt, offset: uint32(rest[1])<<6 | uint32(rest[2])>>2})
		rest = rest[4:]
	}
	for i := range blocks {
		n := len(rest)
		if i < len(blocks)-1 {
			n = sizes[i]
		}
		if n > len(rest) {
			return nil, errRED
		}
		blocks[i].payload, rest = rest[:n], rest[n:]
	}
	return blocks, nil
}
