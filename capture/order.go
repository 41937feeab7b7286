package capture

import (
	"hash/crc32"
	"time"
)

// order is the jitter buffer of one SSRC: it returns packets in the order of their sequence numbers. It is a ring that
// reuses its buffers.
type order struct {
	slots   [orderSlots]slot
	next    int64 // extended sequence number of the packet due
	highest int64 // highest extended sequence number seen
	held    int   // packets in the ring
	started bool
	seen    [seenWindow / 64]uint64 // by sequence number: the packet arrived, or a copy of it was used
	prints  [printWindow]uint32     // by sequence number: checksum of the packet that arrived, 0 if only a copy of it was used
}

// orderSlots exceeds the packets of the longest wait, 1 s, at 10 ms a packet.
const orderSlots = 128

// seenWindow exceeds maxJump, so that each packet of a sequence is known to be new or not.
const seenWindow = 4096

// printWindow exceeds the packets between a packet and its second copy.
const printWindow = 256

// checksums is the table of a checksum that processors compute.
var checksums = crc32.MakeTable(crc32.Castagnoli)

// printOf returns a checksum of the payload of a packet, never 0. Header extensions differ between the copies of a packet.
func printOf(p packet) uint32 {
	return crc32.Update(uint32(p.payloadType), checksums, p.payload) | 1
}

type slot struct {
	used    bool
	copied  bool // a redundant copy; its packet has not arrived
	seq     int64
	ts      uint32
	format  format
	arrival time.Time
	payload []byte
	reason  Reason // if not empty, the packet is not decoded
}

// format is a payload type with an identity: a decoder is reset before it takes over from another one.
type format struct {
	PayloadType
	id uint32
}

// reset empties the ring for another stream. It keeps the buffers.
func (o *order) reset() {
	for i := range o.slots {
		o.slots[i].used, o.slots[i].seq = false, -1
	}
	o.started, o.held, o.next, o.highest = false, 0, 0, 0
	clear(o.seen[:])
	clear(o.prints[:])
}

// extend returns the extended sequence number nearest to the highest seen.
func (o *order) extend(seq uint16) int64 {
	if !o.started {
		return int64(seq) + 1<<16 // room for packets from before the first
	}
	return o.highest + int64(int16(seq-uint16(o.highest)))
}

// advance makes seq the highest sequence number seen.
func (o *order) advance(seq int64) {
	for n := max(o.highest+1, seq-seenWindow+1); n <= seq; n++ {
		o.seen[n%seenWindow/64] &^= 1 << (n % 64)
		o.prints[n&(printWindow-1)] = 0
	}
	o.highest = seq
}

func (o *order) mark(seq int64)         { o.seen[seq%seenWindow/64] |= 1 << (seq % 64) }
func (o *order) arrived(seq int64) bool { return o.seen[seq%seenWindow/64]&(1<<(seq%64)) != 0 }

// repeats reports whether a packet that arrived before is a further copy of it, and not another packet of its number.
func (o *order) repeats(seq int64, print uint32) bool {
	if o.highest-seq >= printWindow {
		return false // no network holds a copy for so long
	}
	known := o.prints[seq&(printWindow-1)]
	return known == 0 || known == print
}

func (o *order) at(seq int64) *slot       { return &o.slots[seq&(orderSlots-1)] }
func (o *order) full() bool               { return o.held >= orderSlots*3/4 }
func (o *order) last() (s *slot, ok bool) { s = o.at(o.highest); return s, o.has(o.highest) }

// has reports whether the packet or a copy of it is in the ring.
func (o *order) has(seq int64) bool {
	s := o.at(seq)
	return s.used && s.seq == seq
}

// put stores a packet and copies its payload. The sequence number must lie within next..next+orderSlots-1.
func (o *order) put(p slot) {
	s := o.at(p.seq)
	if !s.used {
		o.held++
	}
	p.used, p.payload = true, append(s.payload[:0], p.payload...)
	*s = p
}

// first returns the lowest sequence number in the ring, which must not be empty.
func (o *order) first() int64 {
	for seq := o.next; ; seq++ {
		if o.has(seq) {
			return seq
		}
	}
}

// oldest returns the earliest arrival in the ring, which must not be empty.
func (o *order) oldest() (t time.Time) {
	left := o.held
	for seq := o.next; left > 0; seq++ {
		if s := o.at(seq); o.has(seq) {
			left--
			if t.IsZero() || s.arrival.Before(t) {
				t = s.arrival
			}
		}
	}
	return t
}

// take removes a packet. The slot is valid until the next put.
func (o *order) take(seq int64) *slot {
	s := o.at(seq)
	s.used = false
	o.held--
	return s
}
