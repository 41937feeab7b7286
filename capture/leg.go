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
	// Conceal takes audio that was made up in place of some that was lost. It does not keep the slice.
	Conceal(pcm []int16)
	// Gap passes over samples for which there is no audio: lost, or never sent.
	Gap(samples int64, lost bool)
	// Pause tells that nothing has come for a while, and that nobody knows yet what the time will turn out to hold.
	Pause()
}

// LegConfig says how the packets of a leg are to be understood. Zero values mean the defaults where there are any.
type LegConfig struct {
	// Rate is that of the audio that the decoders make, in Hz; all make the same.
	Rate int
	// PayloadTypes is what was negotiated.
	PayloadTypes map[uint8]PayloadType
	// Wait is how long a missing packet is waited for, at most 1 s. It delays nothing while none is missing. Default 400 ms.
	Wait time.Duration
	// Settle is how long the first packet of a stream waits for one that was sent before it. Default 100 ms.
	Settle time.Duration
}

const (
	maxWait = time.Second
	// A timestamp may run ahead of the clock by this much, as when packets were held up before a pause; further, it is
	// not believed.
	maxAhead = 5 * time.Second
	// Audio may overlap what is there by this much, and is trimmed; further back, the sender has started anew.
	maxOverlap = 200 * time.Millisecond
	// After this long without packets the sink is told to pause.
	pauseAfter = 2 * time.Second
	// Sequence numbers further than this from the highest are not believed at first (RFC 3550 appendix A.1).
	maxJump = 3000
)

// Leg puts the packets of one leg of a call in order, decodes them, and writes the audio to a sink at the place that the
// RTP timestamps say: samples out = time of the call, under loss, reordering, DTX, mute, hold and changes of the sender.
//
// It is a state machine without clock or goroutine, and not safe for concurrent use: one goroutine calls [Leg.Push] for
// each packet, [Leg.Tick] some ten times a second, and [Leg.Flush] in the end. In steady state Push allocates nothing
// beyond what the decoder does.
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
	strange int64 // a sequence number too far off to be believed, until the next one confirms it

	timeline timeline
	conceal  concealer
	pcm      []int16
	missing  int64 // packets that are missing before the next audio
	paused   bool
	wall     time.Time // of position 0, by a sender report
}

// NewLeg makes a leg that writes to sink.
func NewLeg(cfg LegConfig, sink Sink) (*Leg, error) {
	if cfg.Wait == 0 {
		cfg.Wait = 400 * time.Millisecond
	}
	if cfg.Settle == 0 {
		cfg.Settle = 100 * time.Millisecond
	}
	switch {
	case cfg.Rate < 8000:
		return nil, fmt.Errorf("leg: a rate of %d Hz is too low", cfg.Rate)
	case cfg.Wait < 0 || cfg.Wait > maxWait:
		return nil, fmt.Errorf("leg: a wait of %v is not within 0..%v", cfg.Wait, maxWait)
	case cfg.Settle < 0 || cfg.Settle > maxWait:
		return nil, fmt.Errorf("leg: a settling time of %v is not within 0..%v", cfg.Settle, maxWait)
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

// Renegotiate replaces what the payload types mean, before the packets of another track. The rate of the audio must stay.
func (l *Leg) Renegotiate(types map[uint8]PayloadType) {
	l.Flush()
	l.cfg.PayloadTypes = types
}

// Stats is what happened so far.
func (l *Leg) Stats() Stats { return l.stat }

// Position is how much of the leg was written, in samples.
func (l *Leg) Position() int64 { return l.timeline.pos }

// Push takes an RTP packet, RFC 3550, that arrived at a time. Times must not run backwards. The packet is copied.
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

// place finds the extended sequence number of the packet at hand, and makes room for it. It returns false when the packet
// is of no use.
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

// putRED stores the primary payload, and the copies of earlier ones where those are missing.
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

// Tick tells the time, so that packets are not waited for for ever when no more come.
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

// Flush writes what is still waited with. The leg may be pushed to again, as after a change of the sender.
func (l *Leg) Flush() {
	l.settled = true
	for l.order.held > 0 {
		l.step()
	}
}

// restart ends the stream at hand; the next packet begins another one.
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

// release hands on what is in order, and gives up on packets that were waited for long enough.
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

// step hands on the next packet, passing over those that are missing before it.
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
		// Silence and keep-alives take no time of their own: the next audio says how long they lasted.
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
		l.missing = 1 // its place is known once the next one comes
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

// SenderReport takes the time of an RTCP sender report, RFC 3550 section 6.4.1, of the stream with this SSRC.
func (l *Leg) SenderReport(ssrc uint32, ntp time.Time, ts uint32) {
	if l.opened && ssrc == l.ssrc && l.timeline.anchored {
		l.wall = ntp.Add(-Duration(l.timeline.at(ts), l.cfg.Rate))
	}
}

// Start is when position 0 was, by the clock of the sender; false as long as no sender report has told.
func (l *Leg) Start() (time.Time, bool) { return l.wall, !l.wall.IsZero() }
