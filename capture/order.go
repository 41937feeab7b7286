package capture

import "time"

// order is the jitter buffer of one SSRC: it returns packets in the order of their sequence numbers. It is a ring that
// reuses its buffers.
type order struct {
	slots   [orderSlots]slot
	next    int64 // extended sequence number of the packet due
	highest int64 // highest extended sequence number seen
	held    int   // packets in the ring
	started bool
}

// orderSlots exceeds the packets of the longest wait, 1 s, at 10 ms a packet.
const orderSlots = 128

type slot struct {
	used    bool
	copied  bool // a redundant copy; its packet has not arrived
	seq     int64
	ts      uint32
	format  PayloadType
	arrival time.Time
	payload []byte
}

func (o *order) reset() {
	for i := range o.slots {
		o.slots[i].used = false
	}
	o.started, o.held = false, 0
}

// extend returns the extended sequence number nearest to the highest seen.
func (o *order) extend(seq uint16) int64 {
	if !o.started {
		return int64(seq) + 1<<16 // room for packets from before the first
	}
	return o.highest + int64(int16(seq-uint16(o.highest)))
}

func (o *order) at(seq int64) *slot { return &o.slots[seq&(orderSlots-1)] }

// has reports whether the packet or a copy of it is in the ring.
func (o *order) has(seq int64) bool {
	s := o.at(seq)
	return s.used && s.seq == seq
}

// put stores a packet and copies its payload. seq must lie within next..next+orderSlots-1.
func (o *order) put(seq int64, ts uint32, format PayloadType, arrival time.Time, payload []byte, copied bool) {
	s := o.at(seq)
	if !s.used {
		o.held++
	}
	*s = slot{
		used:    true,
		copied:  copied,
		seq:     seq,
		ts:      ts,
		format:  format,
		arrival: arrival,
		payload: append(s.payload[:0], payload...),
	}
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
