package capture

import (
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtp"
)

// Sink takes the audio of a leg in the order of the call. *Segmenter is one.
type Sink interface {
	// Write takes audio as it was sent. It does not keep the slice.
	Write(pcm []int16)
	// Conceal takes audio that was synthesized in place of lost audio. It does not keep the slice.
	Conceal(pcm []int16)
	// Gap advances the position over samples without audio: lost, or never sent.
	Gap(samples int64, lost bool)
	// Pause reports that no packet has arrived for a while. Whether the time was lost or silent is not known yet.
	Pause()
}

// LegConfig describes the packets of a leg. A zero value selects the default where there is one.
type LegConfig struct {
	// Rate is the sample rate of all decoders, in Hz.
	Rate int
	// PayloadTypes holds the negotiated payload types.
	PayloadTypes map[uint8]PayloadType
	// Wait is the time to wait for a missing packet, at most 1 s. It delays nothing while none is missing. Default 400 ms.
	Wait time.Duration
	// Settle is the time for which the first packet of a stream waits for one that was sent before it. Default 100 ms.
	Settle time.Duration
}

const (
	maxWait = time.Second
	// A timestamp may run ahead of the clock by this much, as when packets were delayed before a pause. Beyond it the
	// timestamp is implausible.
	maxAhead = 5 * time.Second
	// Audio may overlap the written audio by this much, and is trimmed. Further back, the sender has restarted.
	maxOverlap = 200 * time.Millisecond
	// After this long without packets the sink's Pause is called.
	pauseAfter = 2 * time.Second
	// A sequence number further than this from the highest needs a second packet to confirm it (RFC 3550 appendix A.1).
	maxJump = 3000
)

// Leg orders and decodes the RTP packets of one leg of a call, and writes the audio to a sink at the place given by the
// RTP timestamps: samples out = time of the call, under loss, reordering, DTX, mute, hold and changes of the sender.
//
// It is a state machine without clock, lock or goroutine, and not safe for concurrent use: one goroutine calls [Leg.Push]
// for each packet, [Leg.Tick] about ten times a second, and [Leg.Flush] at the end. In steady state Push allocates nothing
// beyond the allocations of the decoder.
type Leg struct {
	cfg  LegConfig
	sink Sink
	stat Stats

	header  rtp.Header
	red     []redBlock
	order   order
	ssrc    uint32
	opened  bool // a stream was seen
	settled bool // its first packet is known
	began   time.Time
	strange int64 // successor of an implausible sequence number; a packet with it confirms the jump

	timeline timeline
	conceal  concealer
	pcm      []int16
	missing  int64 // packets that are missing before the next audio
	paused   bool
	wall     time.Time // of position 0, from a sender report
}

// NewLeg returns a leg that writes to sink.
func NewLeg(cfg LegConfig, sink Sink) (*Leg, error) {
	if cfg.Wait == 0 {
		cfg.Wait = 400 * time.Millisecond
	}
	if cfg.Settle == 0 {
		cfg.Settle = 100 * time.Millisecond
	}
	switch {
	case cfg.Rate < 8000:
		return nil, fmt.Errorf("leg: the sample rate %d Hz is below 8000 Hz", cfg.Rate)
	case cfg.Wait < 0 || cfg.Wait > maxWait:
		return nil, fmt.Errorf("leg: wait %v is not within 0..%v", cfg.Wait, maxWait)
	case cfg.Settle < 0 || cfg.Settle > maxWait:
		return nil, fmt.Errorf("leg: settle time %v is not within 0..%v", cfg.Settle, maxWait)
	}
	audio := false
	for pt, f := range cfg.PayloadTypes {
		if f.ClockRate == 0 {
			return nil, fmt.Errorf("leg: payload type %d has no clock rate", pt)
		}
		if f.Kind == KindAudio && f.Decoder == nil {
			return nil, fmt.Errorf("leg: payload type %d has no decoder", pt)
		}
		audio = audio || f.Kind == KindAudio
	}
	if !audio {
		return nil, errors.New("leg: no payload type carries audio")
	}
	l := &Leg{cfg: cfg, sink: sink, conceal: newConcealer(cfg.Rate)}
	l.timeline.rate = int64(cfg.Rate)
	return l, nil
}

// Renegotiate replaces the payload types, before the packets of another track. The sample rate must stay the same.
func (l *Leg) Renegotiate(types map[uint8]PayloadType) {
	l.Flush()
	l.cfg.PayloadTypes = types
}

// Stats returns the counts so far.
func (l *Leg) Stats() Stats { return l.stat }

// Position returns the length of the written audio in samples, gaps included.
func (l *Leg) Position() int64 { return l.timeline.pos }

// Push takes an RTP packet (RFC 3550) and its arrival time. Times must not decrease. The packet is copied.
func (l *Leg) Push(packet []byte, arrival time.Time) {
	l.stat.Received++
	l.stat.LastPacket = arrival
	l.paused = false
	n, err := l.header.Unmarshal(packet)
	if err != nil {
		l.stat.Malformed++
		return
	}
	payload := packet[n:]
	if l.header.Padding {
		pad := 0
		if len(payload) > 0 {
			pad = int(payload[len(payload)-1])
		}
		if pad == 0 || pad > len(payload) {
			l.stat.Malformed++
			return
		}
		payload = payload[:len(payload)-pad]
	}
	format, ok := l.cfg.PayloadTypes[l.header.PayloadType]
	if !ok {
		l.stat.Malformed++
		return
	}
	if l.opened && l.header.SSRC != l.ssrc {
		l.restart()
	}
	if !l.opened {
		l.opened, l.ssrc, l.began = true, l.header.SSRC, arrival
	}
	seq, ok := l.place(arrival)
	if !ok {
		return
	}
	if format.Kind == KindRED {
		l.putRED(seq, payload, arrival)
	} else {
		l.put(seq, l.header.Timestamp, &format, arrival, payload, false)
	}
	l.release(arrival)
}

// place returns the extended sequence number of the current packet and makes room for it. It returns false for a packet
// that is dropped and counted.
func (l *Leg) place(arrival time.Time) (seq int64, ok bool) {
	o := &l.order
	seq = o.extend(l.header.SequenceNumber)
	if o.started && (seq-o.highest > maxJump || o.highest-seq > maxJump) && !l.timeline.plausible(l.header.Timestamp, arrival) {
		if seq != l.strange {
			l.strange = seq + 1
			l.stat.Malformed++
			return 0, false
		}
		l.restart()
		l.opened, l.ssrc, l.began = true, l.header.SSRC, arrival
		seq = o.extend(l.header.SequenceNumber)
	}
	switch {
	case !o.started:
		o.started, o.highest, o.next = true, seq, seq
	case seq > o.highest:
		o.highest = seq
	case !o.has(seq):
		l.stat.Reordered++
	}
	if seq < o.next && !l.settled && o.next-seq < orderSlots && o.highest-seq < orderSlots {
		o.next = seq
	}
	if seq < o.next {
		if l.order.at(seq).seq == seq {
			l.stat.Duplicate++
		} else {
			l.stat.Late++
		}
		return 0, false
	}
	for seq-o.next >= orderSlots {
		l.settled = true
		if o.held == 0 {
			l.missing += seq - o.next
			l.stat.Missing += uint64(seq - o.next)
			o.next = seq
			break
		}
		l.step()
	}
	return seq, true
}

// putRED stores the primary payload, and copies of earlier payloads that are missing.
func (l *Leg) putRED(seq int64, payload []byte, arrival time.Time) {
	blocks, err := parseRED(l.red[:0], payload)
	if err != nil {
		l.stat.Malformed++
		return
	}
	l.red = blocks
	for i, b := range blocks {
		format, ok := l.cfg.PayloadTypes[b.payloadType]
		if !ok || format.Kind == KindRED {
			continue
		}
		back := int64(len(blocks) - 1 - i)
		if back > 0 && (seq-back < l.order.next || l.order.has(seq-back)) {
			continue
		}
		l.put(seq-back, l.header.Timestamp-b.offset, &format, arrival, b.payload, back > 0)
	}
}

func (l *Leg) put(seq int64, ts uint32, format *PayloadType, arrival time.Time, payload []byte, copied bool) {
	if l.order.has(seq) {
		if s := l.order.at(seq); !s.copied || copied {
			l.stat.Duplicate++
			return
		}
	}
	l.order.put(seq, ts, *format, arrival, payload, copied)
}

// Tick passes the time on, so that the wait for a missing packet ends although no packet arrives.
func (l *Leg) Tick(now time.Time) {
	if !l.opened {
		return
	}
	l.release(now)
	if !l.paused && l.order.held == 0 && now.Sub(l.stat.LastPacket) >= pauseAfter {
		l.paused = true
		l.sink.Pause()
	}
}

// Flush writes all held packets. Push may be called again afterwards, as after a change of the sender.
func (l *Leg) Flush() {
	l.settled = true
	for l.order.held > 0 {
		l.step()
	}
}

// restart ends the current stream. The next packet starts another one.
func (l *Leg) restart() {
	l.Flush()
	l.stat.Restarts++
	l.order.reset()
	l.opened, l.settled, l.strange = false, false, 0
	l.missing = 0
	l.timeline.leave()
	l.conceal.reset()
	for _, f := range l.cfg.PayloadTypes {
		if f.Decoder != nil {
			f.Decoder.Reset()
		}
	}
}

// release writes the packets that are in order, and skips missing ones after the wait.
func (l *Leg) release(now time.Time) {
	if l.order.held == 0 {
		return
	}
	if !l.settled {
		if now.Sub(l.began) < l.cfg.Settle {
			return
		}
		l.settled = true
	}
	for l.order.held > 0 {
		if !l.order.has(l.order.next) && now.Sub(l.order.oldest()) < l.cfg.Wait {
			return
		}
		l.step()
	}
}

// step writes the first held packet and counts those that are missing before it.
func (l *Leg) step() {
	first := l.order.first()
	if n := first - l.order.next; n > 0 {
		l.missing += n
		l.stat.Missing += uint64(n)
	}
	s := l.order.take(first)
	l.order.next = first + 1
	if s.copied {
		l.stat.Repaired++
	}
	switch {
	case s.format.Kind == KindEvent:
		l.stat.Events++
	case s.format.Kind == KindNoise || len(s.payload) == 0:
		// Comfort noise and keep-alives have no duration of their own: the next audio packet ends them.
	default:
		l.audio(s)
	}
}

// audio decodes a packet and writes it at its place.
func (l *Leg) audio(s *slot) {
	t := &l.timeline
	gap, restarted := t.gap(s.ts, int64(s.format.ClockRate), s.arrival, &l.order)
	if restarted {
		l.stat.Restarts++
	}
	fresh, at := !t.anchored, t.pos+gap
	if gap > 0 {
		l.fill(gap, s, fresh)
	}
	l.missing = 0
	pcm, err := s.format.Decoder.Decode(l.pcm[:0], s.payload)
	l.pcm = pcm[:0]
	t.place(s.ts, int64(s.format.ClockRate), s.arrival, at, restarted)
	if err != nil {
		l.stat.Undecoded++
		l.missing = 1 // its length is known once the next one is decoded
		return
	}
	l.stat.Decoded += int64(len(pcm))
	t.packet = int64(len(pcm))
	if overlap := -gap; overlap > 0 {
		pcm = pcm[min(overlap, int64(len(pcm))):]
	}
	if len(pcm) == 0 {
		return
	}
	l.conceal.heard(pcm)
	l.sink.Write(pcm)
	t.pos += int64(len(pcm))
}

// SenderReport takes the timestamps of an RTCP sender report (RFC 3550 section 6.4.1) of the stream with this SSRC.
func (l *Leg) SenderReport(ssrc uint32, ntp time.Time, ts uint32) {
	if l.opened && ssrc == l.ssrc && l.timeline.anchored {
		l.wall = ntp.Add(-Duration(l.timeline.at(ts), l.cfg.Rate))
	}
}

// Start returns the time of position 0 by the clock of the sender, and false before the first sender report.
func (l *Leg) Start() (time.Time, bool) { return l.wall, !l.wall.IsZero() }
