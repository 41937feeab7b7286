package capture

import (
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtcp"
)

// LegConfig describes the packets of a leg. A zero value selects the default where there is one.
type LegConfig struct {
	// Rate is the sample rate of the audio in Hz. A decoder with another rate is resampled, unless its rate is higher and
	// the sink is a RateSink: then the rate of the leg rises. It never falls.
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
	// After this long without packets the sink's Pause is called.
	pauseAfter = 2 * time.Second
	// A sequence number further than this ahead of the highest, or orderSlots behind it, starts another sequence.
	maxJump = 3000
)

// Leg orders and decodes the RTP packets of one leg of a call, and writes the audio to a sink at the place given by the
// RTP timestamps: samples out = time of the call, under loss, reordering, DTX, mute, hold, faulty timestamps, and changes
// of codec and sender. [Leg.Ledger] accounts for every packet.
//
// It is a state machine without clock, lock or goroutine, and not safe for concurrent use: one goroutine calls [Leg.Push]
// for each packet, [Leg.Tick] about ten times a second, and [Leg.Flush] at the end. In steady state Push allocates nothing
// beyond the allocations of the decoder.
type Leg struct {
	cfg     LegConfig
	sink    Sink
	stat    Stats
	books   *books
	formats *formats
	serial  uint32 // of the last formats
	opened  time.Time

	red     []redBlock
	streams []*stream
	current *stream // the stream that is heard
	spare   *order  // of a stream that was closed
	rank    int64

	timeline  timeline
	conceal   concealer
	format    uint32 // of the last decoded packet
	resampler *resampler
	convert   bool // the audio of the decoder passes the resampler
	fixed     bool // the sink cannot raise its rate
	raw, pcm  []int16
	paused    bool // the sink's Pause was called
	discard   bool // audio is discarded on request
	arrived   time.Time
	signals   Signals
	payload   int64     // bytes of the last decoded packet
	wall      time.Time // of position 0, from a sender report
}

// formats are the payload types of one track.
type formats struct {
	types  map[uint8]PayloadType
	serial uint32
}

const noFormat = 1<<32 - 1

func (f *formats) of(payloadType uint8) (format, bool) {
	t, ok := f.types[payloadType]
	if !ok && (payloadType == 13 || payloadType == 19) { // static types of comfort noise, often sent without negotiation
		t, ok = PayloadType{Kind: KindNoise, ClockRate: 8000}, true
	}
	return format{t, f.serial<<8 | uint32(payloadType)}, ok
}

// NewLeg returns a leg that writes to sink.
func NewLeg(cfg LegConfig, sink Sink) (*Leg, error) { return newLeg(cfg, sink, newBooks()) }

func newLeg(cfg LegConfig, sink Sink, b *books) (*Leg, error) {
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
	l := &Leg{
		cfg:     cfg,
		sink:    sink,
		books:   b,
		conceal: newConcealer(cfg.Rate),
		format:  noFormat,
	}
	l.formats = l.register(cfg.PayloadTypes)
	l.timeline.rate = int64(cfg.Rate)
	return l, nil
}

// register gives an identity to payload types.
func (l *Leg) register(types map[uint8]PayloadType) *formats {
	l.serial++
	return &formats{types: types, serial: l.serial}
}

// Renegotiate replaces the payload types, before the packets of another track.
func (l *Leg) Renegotiate(types map[uint8]PayloadType) {
	l.Flush()
	l.formats = l.register(types)
}

// Stats returns the counts so far.
func (l *Leg) Stats() Stats { return l.stat }

// Rate returns the sample rate of the leg in Hz.
func (l *Leg) Rate() int { return int(l.timeline.rate) }

// Position returns the length of the written audio in samples, gaps included.
func (l *Leg) Position() int64 { return l.timeline.pos }

// Ledger returns the account of all packets whose fate is known. Packets that wait for others are not in it.
func (l *Leg) Ledger() Ledger {
	decided := int64(0)
	for _, s := range l.streams {
		decided += s.decided()
	}
	return l.books.ledger(decided, l.position(), l.packetTime())
}

// position returns the length of the leg.
func (l *Leg) position() time.Duration { return Duration(l.timeline.pos, l.Rate()) }

// positionAt returns the place of a time in the leg: its end, or later if no packet has arrived for a while.
func (l *Leg) positionAt(now time.Time) time.Duration {
	if l.arrived.IsZero() {
		return l.position()
	}
	return l.position() + max(0, now.Sub(l.arrived)-l.packetTime())
}

// Push takes an RTP packet (RFC 3550) and its arrival time. Times must not decrease. The packet is copied.
func (l *Leg) Push(packet []byte, arrival time.Time) { l.push(packet, arrival, l.formats) }

func (l *Leg) push(datagram []byte, arrival time.Time, f *formats) {
	if l.opened.IsZero() {
		l.opened = arrival
	}
	if _, negotiated := f.types[datagramType(datagram)]; isRTCP(datagram) && !negotiated && l.control(datagram, arrival) {
		return
	}
	since := arrival.Sub(l.arrived)
	l.stat.Received++
	l.stat.LastPacket, l.arrived = arrival, arrival
	l.paused = false
	p, ok := parsePacket(datagram)
	if !ok {
		l.stat.Malformed++
		l.books.outside++
		l.books.unrecord(UnrecordedMalformed, 1, min(since, l.packetTime()))
		return
	}
	s := slot{ts: p.ts, arrival: arrival, payload: p.payload}
	s.format, ok = f.of(p.payloadType)
	switch {
	case p.broken:
		s.reason = UnrecordedMalformed
	case !ok || s.format.Kind == KindAudio && s.format.Decoder == nil || !s.format.Kind.holds(p.payload),
		s.format.Kind.quiet() && !l.signals.Take(len(p.payload), arrival):
		s.reason = UnrecordedCodec
	}
	if s.reason != "" {
		l.stat.Malformed++
	}
	var st *stream
	st, s.seq = l.stream(p, arrival)
	if !l.place(st, s.seq, printOf(p)) {
		l.release(arrival)
		return
	}
	st.last = arrival
	if s.reason == "" && (s.format.Kind == KindAudio || s.format.Kind == KindRED) && len(p.payload) > 0 {
		st.audio++
		st.proven = st.proven || st.audio >= 2
		st.source.clock, st.source.lastTS, st.source.lastAt = int64(s.format.ClockRate), p.ts, arrival
		st.times.add(p.ts)
	}
	if s.reason == "" && s.format.Kind == KindRED {
		l.putRED(st, s, f)
	} else {
		st.order.put(s)
	}
	l.choose(arrival)
	l.release(arrival)
}

// datagramType returns the payload type of a datagram, if it is one of RTP.
func datagramType(b []byte) uint8 {
	if len(b) < 2 {
		return 0
	}
	return b[1] & 0x7f
}

// Discard replaces the audio of the leg by silence from now on, or ends that. Packets that are held belong to the time
// before. The packets of the pause are booked as paused.
func (l *Leg) Discard(on bool) {
	l.Flush()
	l.discard = on
}

// Tick passes the time on, so that the wait for a missing packet ends although no packet arrives.
func (l *Leg) Tick(now time.Time) {
	if len(l.streams) == 0 {
		return
	}
	l.choose(now)
	l.release(now)
	held := 0
	for _, st := range l.streams {
		held += st.order.held
	}
	if !l.paused && held == 0 && now.Sub(l.stat.LastPacket) >= pauseAfter {
		l.paused = true
		l.sink.Pause()
	}
}

// Flush writes all held packets. Push may be called again afterwards, as after a change of the sender.
func (l *Leg) Flush() {
	if l.current != nil {
		l.drain(l.current)
	}
	for _, st := range l.streams {
		if st != l.current && st.audio > 0 && st.order.held > 0 && (l.current == nil || l.stopped(st)) {
			l.hear(st)
		}
		l.drain(st)
	}
}

// SenderReport takes an RTCP sender report (RFC 3550 section 6.4.1) of the leg.
func (l *Leg) SenderReport(sr *rtcp.SenderReport, arrival time.Time) {
	if l.opened.IsZero() {
		l.opened = arrival
	}
	l.books.source(sr.SSRC, l.opened).report(sr, arrival)
	if l.current != nil && sr.SSRC == l.current.ssrc && l.timeline.anchored && sr.NTPTime != 0 {
		l.wall = ntpTime(sr.NTPTime).Add(-Duration(l.timeline.at(sr.RTPTime), l.Rate()))
	}
}

// control reads the sender reports of RTCP that shares the port with RTP. It returns false if the datagram is not valid RTCP.
func (l *Leg) control(datagram []byte, arrival time.Time) bool {
	packets, err := rtcp.Unmarshal(datagram)
	if err != nil {
		return false
	}
	for _, p := range packets {
		if sr, ok := p.(*rtcp.SenderReport); ok {
			l.SenderReport(sr, arrival)
		}
	}
	return true
}

// Start returns the time of position 0 by the clock of the sender, and false before the first sender report.
func (l *Leg) Start() (time.Time, bool) { return l.wall, !l.wall.IsZero() }
