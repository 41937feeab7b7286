package encode

import (
	"bytes"
	"encoding/binary"
)

// asfPacketSize returns the size of the packets of a Windows Media file, by its header (Advanced Systems Format, 3.2), or 0.
func (l *layout) asfPacketSize(at, end int64) int64 {
	b := l.bytes(at, min(end-at, maxIndex))
	i := bytes.Index(b, []byte("\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"))
	if i < 0 || i+100 > len(b) {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(b[i+92:]))
}

// asfPackets returns the bytes of the payloads in the packets from at to end (Advanced Systems Format, 5.2).
func (l *layout) asfPackets(at, end, size int64) (n int64) {
	if size < 16 || size > maxIndex {
		return max(end-at, 0)
	}
	for ; at < end; at += size {
		b := l.bytes(at, min(size, end-at))
		n += asfPayload(b)
	}
	return n
}

// asfPayload returns the bytes of the payloads of a packet. A packet that is none counts as a whole.
func asfPayload(packet []byte) (total int64) {
	b := packet
	bad := false
	take := func(n int) int64 { // an unsigned number of n bytes
		if n > len(b) {
			b, bad = nil, true
			return 0
		}
		v := int64(0)
		for i := n - 1; i >= 0; i-- {
			v = v<<8 | int64(b[i])
		}
		b = b[n:]
		return v
	}
	number := func(kind int64) int64 { return take([4]int{0, 1, 2, 4}[kind&3]) }
	skip := func(n int64) {
		if n < 0 || n > int64(len(b)) {
			b, bad = nil, true
			return
		}
		b = b[n:]
	}
	if len(b) > 0 && b[0]&0x80 != 0 {
		skip(1 + int64(b[0]&15)) // error correction
	}
	flags, properties := take(1), take(1)
	number(flags >> 5) // length of the packet
	number(flags >> 1) // sequence
	padding := number(flags >> 3)
	take(6) // time and duration
	count, lengths := int64(1), int64(0)
	if flags&1 != 0 {
		head := take(1)
		count, lengths = head&0x3f, head>>6
	}
	if padding > int64(len(b)) || bad {
		return int64(len(packet))
	}
	for _, v := range b[int64(len(b))-padding:] {
		if v != 0 {
			total++ // padding is zeros
		}
	}
	b = b[:int64(len(b))-padding]
	for ; count > 0 && !bad; count-- {
		take(1) // stream
		number(properties >> 4)
		number(properties >> 2)
		replicated := number(properties)
		compressed := replicated == 1
		skip(replicated)
		n := int64(len(b))
		if flags&1 != 0 {
			n = number(lengths)
		}
		rest := len(b)
		skip(n)
		if bad {
			break
		}
		total += n
		if payload := rest - len(b); compressed {
			total -= min(int64(payload), 1) // the length of each part of a payload
		}
	}
	if bad {
		return int64(len(packet))
	}
	return total + int64(len(b))
}
