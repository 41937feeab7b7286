package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"callscreen/internal/wait"
)

const (
	// waiting is the number of packets that are kept without a connection, about ten seconds. The oldest are dropped
	// first.
	waiting = 512
	// afterBye is the time after a BYE in which the source can start another stream.
	afterBye = time.Second
	// A server without an answer for twice this time is lost. Packets sent until then are lost too.
	lostAfter = 4 * time.Second
	// Limits for restarting a broken session.
	reconnectFor   = time.Minute
	reconnectEvery = time.Second
)

// Bridge listens for one stream of plain RTP and publishes it as a leg. It forwards packet by packet and decodes
// nothing. Its source is the address that keeps sending, see latch. It returns after a BYE of the source, after too much
// silence, or when the context is done, which is not an error. A broken session is restarted. The error reports unusable
// options or an address in use; the fate of the leg is in the summary.
//
// Received audio that was not forwarded is an error in the summary. If the server cannot know of it, because it came from
// another address or in another stream, the session is not hung up: the server takes the leg for interrupted.
func Bridge(ctx context.Context, src *RTPSource, opt *Options) (Summary, error) {
	to, err := target(opt.To, 1, 1)
	if err != nil {
		return Summary{}, err
	}
	from, err := src.senders(ctx)
	if err != nil {
		return Summary{}, err
	}
	addr, err := net.ResolveUDPAddr("udp", src.Listen)
	if err != nil {
		return Summary{}, err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return Summary{}, fmt.Errorf("listen for RTP: %w (hint: use another port, each leg needs its own)", err)
	}
	_ = conn.SetReadBuffer(1 << 20) // the kernel's limit is enough for one leg
	if opt.Listening != nil {
		opt.Listening(conn.LocalAddr())
	}
	b := &bridge{
		src:    src,
		opt:    opt,
		conn:   conn,
		intake: rtpIntake{formats: src.Formats, from: from},
		queue:  make(chan *rtp.Packet, waiting),
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() {
		defer close(b.queue)
		readErr = b.read(ctx)
		b.pass(b.intake.settle(nil))
	})
	sum := Summary{Calls: 1}
	err = b.publish(ctx, to, &sum)
	cancel()
	reading.Wait()
	opt.client().CloseIdleConnections()
	sum.Packets, sum.Unsent = b.sent, b.intake.counts()
	sum.Unsent.Overdue = b.overdue + b.unwritten + int64(len(b.queue))
	if b.pending != nil {
		sum.Unsent.Overdue++
	}
	if err = errors.Join(err, readErr, sum.Unsent.Err(), conn.Close()); err != nil {
		sum.Errors = append(sum.Errors, err)
	} else {
		sum.Finished = 1
	}
	return sum, nil
}

// bridge connects a socket with a session.
type bridge struct {
	src    *RTPSource
	opt    *Options
	conn   *net.UDPConn
	intake rtpIntake        // owned by the reading goroutine
	queue  chan *rtp.Packet // closed at the end of the source

	overdue   int64       // owned by the reading goroutine
	sent      int64       // owned by the publishing goroutine
	unwritten int64       // owned by the publishing goroutine
	pending   *rtp.Packet // taken from the queue, not yet sent
}

// read receives packets until the source ends or the context is done.
func (b *bridge) read(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = b.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	began := time.Now()
	goodbye := time.Time{}
	buf := make([]byte, largestPacket+1)
	var packets []*rtp.Packet
	for {
		until := began.Add(b.src.Wait)
		if b.intake.started() {
			until = b.intake.heard.Add(b.src.Idle)
		}
		if b.intake.bye && goodbye.Add(afterBye).Before(until) {
			until = goodbye.Add(afterBye)
		}
		if err := b.conn.SetReadDeadline(until); err != nil {
			return err
		}
		if ctx.Err() != nil { // check after setting the deadline, which could overwrite that of the context
			return nil
		}
		n, from, err := b.conn.ReadFromUDPAddrPort(buf)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && isTimeout(err):
			if packets = b.intake.settle(packets[:0]); len(packets) > 0 { // a source is found only now
				b.pass(packets)
				continue
			}
			return b.ended()
		case err != nil:
			return fmt.Errorf("listen for RTP: %w", err)
		}
		said := b.intake.bye
		packets = b.intake.take(packets[:0], buf[:n], from, now)
		if b.intake.bye && !said {
			goodbye = now
		}
		b.pass(packets)
	}
}

func (b *bridge) pass(packets []*rtp.Packet) {
	for _, p := range packets {
		b.enqueue(p)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// ended returns an error unless the source ended normally.
func (b *bridge) ended() error {
	u := b.intake.counts()
	switch {
	case b.intake.started():
		return nil
	case u.DTLS+u.STUN > 0:
		return fmt.Errorf(
			"no RTP came to %s, but %d datagrams of STUN and %d of DTLS (hint: the sender wants WebRTC or DTLS-SRTP; have it send plain RTP)",
			b.conn.LocalAddr(), u.STUN, u.DTLS,
		)
	case u.Strangers > 0:
		return fmt.Errorf(
			"no stream of RTP came to %s for %v, only %d stray packets (hint: check that the media server sends to it)",
			b.conn.LocalAddr(), b.src.Wait, u.Strangers,
		)
	}
	return fmt.Errorf(
		"no RTP came to %s for %v (hint: check that the media server sends to it, and the firewall)",
		b.conn.LocalAddr(),
		b.src.Wait,
	)
}

// enqueue never blocks. If the queue is full, it drops the oldest packet.
func (b *bridge) enqueue(p *rtp.Packet) {
	for {
		select {
		case b.queue <- p:
			return
		default:
		}
		select {
		case <-b.queue:
			b.overdue++
		default:
		}
	}
}

// publish sends the leg from its first packet to its last, over as many sessions as necessary.
func (b *bridge) publish(ctx context.Context, to string, sum *Summary) error {
	if b.pending = <-b.queue; b.pending == nil {
		return nil // read returns the error
	}
	s := session{
		opt:       b.opt,
		codecs:    b.codecs(),
		target:    to,
		seed:      1,
		ready:     func() { sum.Connected = 1 },
		play:      b.play,
		lostAfter: lostAfter,
	}
	var lost time.Time
	for {
		var err error
		if s.servers, err = b.opt.servers(ctx, to); err == nil {
			err = s.run(ctx)
		}
		var no *answerError
		switch {
		case errors.Is(err, errIncomplete):
			return nil // the counts have the reason
		case err == nil || sum.Connected == 0 || errors.Is(err, errEnded): // a session ended by the server is not restarted
			return err
		case errors.Is(err, errLost):
			lost = time.Now()
			sum.Reconnects++
			continue // retry at once, while the server keeps the call open
		case errors.As(err, &no) && no.status < 500 || time.Since(lost) > reconnectFor:
			return err
		}
		if wait.For(ctx, reconnectEvery) != nil {
			return err
		}
	}
}

// codecs returns all codecs that the source may use, that of the first packet first.
func (b *bridge) codecs() (all []webrtc.RTPCodecCapability) {
	first := b.pending.PayloadType
	for _, name := range Codecs {
		c := capability(name)
		if uint8(payloadType(c.MimeType)) == first {
			all = append([]webrtc.RTPCodecCapability{c}, all...)
		} else {
			all = append(all, c)
		}
	}
	return all
}

// open sends a packet without payload before a first one that cannot be decoded: a server takes no track that starts with
// a payload type that was not negotiated.
func (b *bridge) open(track *rtpTrack) {
	if b.pending == nil || b.pending.PayloadType != notNegotiated {
		return
	}
	p := rtp.Packet{Header: b.pending.Header}
	p.PayloadType = uint8(payloadType(track.codecs[0].MimeType))
	p.SequenceNumber--
	_ = track.WriteRTP(&p) // the connection state reports the loss
}

// play sends packets until the queue is closed. The end of the context closes it too.
func (b *bridge) play(ctx context.Context, track *rtpTrack) error {
	b.open(track)
	for {
		if b.pending == nil {
			if b.pending = <-b.queue; b.pending == nil {
				time.Sleep(b.opt.linger())
				if u := b.intake.counts(); u.unknown() > tolerated { // the intake is at rest
					return errIncomplete
				}
				return nil
			}
		}
		if err := context.Cause(ctx); down(err) {
			return err
		}
		audio := len(b.pending.Payload) > 0
		if err := track.WriteRTP(b.pending); err != nil {
			b.unwritten++ // the connection state reports the loss
		} else if audio {
			b.sent++
		}
		b.pending = nil
	}
}
