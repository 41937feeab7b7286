package capture

import "encoding/binary"

// packet is a parsed RTP packet, RFC 3550 section 5.1. The payload aliases the datagram.
type packet struct {
	payloadType uint8
	seq         uint16
	ts, ssrc    uint32
	payload     []byte
	broken      bool // the header is valid, and what follows it is not
}

// parsePacket parses an RTP packet without allocating. It returns false for a datagram that is not RTP version 2.
// Extensions are passed over unread, so that a malformed element in one costs no audio.
func parsePacket(b []byte) (p packet, ok bool) {
	const fixed = 12
	if len(b) < fixed || b[0]>>6 != 2 {
		return p, false
	}
	p = packet{
		payloadType: b[1] & 0x7f,
		seq:         binary.BigEndian.Uint16(b[2:]),
		ts:          binary.BigEndian.Uint32(b[4:]),
		ssrc:        binary.BigEndian.Uint32(b[8:]),
	}
	n := fixed + 4*int(b[0]&0x0f) // CSRC list
	if b[0]&0x10 != 0 && len(b) >= n+4 {
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	} else if b[0]&0x10 != 0 {
		n = len(b) + 1
	}
	if n > len(b) {
		p.broken = true
		return p, true
	}
	p.payload = b[n:]
	if b[0]&0x20 != 0 {
		pad := 0
		if len(p.payload) > 0 {
			pad = int(p.payload[len(p.payload)-1])
		}
		if pad == 0 || pad > len(p.payload) {
			p.broken, p.payload = true, nil
			return p, true
		}
		p.payload = p.payload[:len(p.payload)-pad]
	}
	return p, true
}

// isRTCP reports whether a datagram is RTCP that shares the port with RTP (RFC 5761 section 4).
func isRTCP(b []byte) bool {
	return len(b) >= 8 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223
}
