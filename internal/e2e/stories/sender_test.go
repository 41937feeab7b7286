package stories_test

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/internal/intake"
	"callscreen/internal/store"
)

// track is a remote track to which a story delivers packets.
type track struct {
	codec   codec
	packets chan []byte
	poke    chan struct{}
	closed  chan struct{}

	mu       sync.Mutex
	deadline time.Time
}

func newTrack(c codec) *track {
	return &track{codec: c, packets: make(chan []byte, 1024), poke: make(chan struct{}, 1), closed: make(chan struct{})}
}

func parameters(c codec) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		PayloadType:        webrtc.PayloadType(c.pt),
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: c.name, ClockRate: uint32(c.clock)},
	}
}

// Codec implements capture.Track.
func (t *track) Codec() webrtc.RTPCodecParameters { return parameters(t.codec) }

// SetReadDeadline implements capture.Track.
func (t *track) SetReadDeadline(at time.Time) error {
	t.mu.Lock()
	t.deadline = at
	t.mu.Unlock()
	select {
	case t.poke <- struct{}{}:
	default:
	}
	return nil
}

// Read implements capture.Track.
func (t *track) Read(b []byte) (int, interceptor.Attributes, error) {
	for {
		select {
		case p := <-t.packets:
			return copy(b, p), nil, nil
		default:
		}
		t.mu.Lock()
		timer := time.NewTimer(time.Until(t.deadline))
		t.mu.Unlock()
		select {
		case p := <-t.packets:
			timer.Stop()
			return copy(b, p), nil, nil
		case <-timer.C:
			return 0, nil, os.ErrDeadlineExceeded
		case <-t.poke:
			timer.Stop()
		case <-t.closed:
			timer.Stop()
			return 0, nil, io.EOF
		}
	}
}

// session is the stay of a sender on a leg.
type session struct {
	st     *story
	node   *node
	leg    *intake.LegSession
	name   string // of the leg
	key    store.PartKey
	tracks []*track
	run    sync.WaitGroup

	mu   sync.Mutex
	over bool // no packet reaches the recorder
	left bool
}

// stream is one RTP stream of a sender.
type stream struct {
	enc    *encoder
	ssrc   uint32
	seq    uint16
	ts     uint32
	count  uint32
	faulty func(uint32) uint32
	queue  []datagram
}

type datagram struct {
	at   time.Time
	b    []byte
	tone time.Duration
}

// record hands a track of the session to the recorder.
func (s *session) record(c codec) *track {
	t := newTrack(c)
	s.tracks = append(s.tracks, t)
	var negotiated []webrtc.RTPCodecParameters
	for _, n := range codecs {
		negotiated = append(negotiated, parameters(n))
	}
	s.run.Go(func() {
		err := s.leg.Record(context.Background(), t, negotiated...)
		if errors.Is(err, capture.ErrTakenOver) { // the door closes the session
			s.mu.Lock()
			s.over = true
			left := s.left
			s.left = true
			s.mu.Unlock()
			if !left {
				s.leg.Close(intake.HungUp)
			}
		}
	})
	return t
}

// cut ends the tracks of a session.
func (s *session) cut() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	for _, t := range s.tracks {
		select {
		case <-t.closed:
		default:
			close(t.closed)
		}
	}
	s.run.Wait()
}

// leave ends a session.
func (s *session) leave(how intake.Departure) {
	s.cut()
	s.mu.Lock()
	left := s.left
	s.left = true
	s.mu.Unlock()
	if !left {
		s.leg.Close(how)
	}
}

func (s *session) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// stream returns a new stream.
func (st *story) stream(c codec) *stream {
	return &stream{enc: newEncoder(c), ssrc: st.rng.Uint32(), seq: uint16(st.rng.Uint32()), ts: st.rng.Uint32()}
}

// send sends a packet with d of the voice of a party from a place in it.
func (st *story) send(to *stream, place, d time.Duration, sounds sound) {
	st.transmit(to, to.enc.packetOf(place, d, sounds), d, sounds == syntheticVoice)
}

// transmit sends d of audio in one packet.
func (st *story) transmit(to *stream, payload []byte, d time.Duration, tone bool) {
	c := to.enc.codec
	ts := to.ts
	if to.faulty != nil {
		ts = to.faulty(ts)
	}
	p := rtp.Packet{
		Header: rtp.Header{
			Version:        2,
			PayloadType:    c.pt,
			SequenceNumber: to.seq,
			Timestamp:      ts,
			SSRC:           to.ssrc,
		},
		Payload: payload,
	}
	to.seq++
	to.count++
	to.ts += uint32(d.Seconds() * float64(c.clock))
	if st.rng.Float64() < st.loss {
		return
	}
	b, err := p.Marshal()
	if err != nil {
		st.fatal("%v", err)
	}
	g := datagram{at: time.Now(), b: b}
	if tone {
		g.tone = d
	}
	if st.jitter > 0 {
		g.at = g.at.Add(time.Duration(st.rng.Int64N(int64(st.jitter))))
	}
	to.queue = append(to.queue, g)
	if st.rng.IntN(500) == 0 { // the network doubles a packet
		to.queue = append(to.queue, datagram{at: g.at, b: slices.Clone(b)})
	}
}

// deliver delivers the packets of a stream that are due to a track of a session.
func (st *story) deliver(from *stream, s *session, t *track) {
	now := time.Now()
	slices.SortStableFunc(from.queue, func(a, b datagram) int { return a.at.Compare(b.at) })
	for len(from.queue) > 0 && !from.queue[0].at.After(now) {
		g := from.queue[0]
		from.queue = from.queue[1:]
		if s.ended() {
			continue
		}
		t.packets <- g.b
		st.broken[s.name] = false
		key := legKey{s.key, s.name}
		if g.tone > 0 && st.paused[key] {
			st.hidden[key] += g.tone
		} else {
			st.arrived[key] += g.tone
		}
	}
}

// report sends a sender report.
func (s *session) report(from *stream) {
	s.leg.SenderReport(&rtcp.SenderReport{SSRC: from.ssrc, PacketCount: from.count, RTPTime: from.ts})
}

// legKey is a leg of a part.
type legKey struct {
	part store.PartKey
	leg  string
}
