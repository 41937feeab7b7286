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
)

const (
	// waiting is how many packets are kept while there is no connection, the oldest given up first: about ten seconds.
	waiting = 512
	// afterBye is how long a source that has said goodbye may begin another stream.
	afterBye = time.Second
	// A server that does not answer for twice this time is lost. What is sent until then is lost too.
	lostAfter = 4 * time.Second
	// A session that broke is begun anew for so long, so often.
	reconnectFor   = time.Minute
	reconnectEvery = time.Second
)

// Bridge listens for one stream of plain RTP and publishes it as a leg: packet by packet, as it comes, nothing is decoded.
// It returns when the source has said goodbye or has been silent for too long, or when the context is done, which is no
// error. A session that breaks is begun anew. The error says that the options cannot be used or that the address is taken;
// what happened to the leg is in the summary.
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
		return Summary{}, fmt.Errorf("listen for RTP: %w (hint: another port, one for each leg)", err)
	}
	_ = conn.SetReadBuffer(1 << 20) // what the kernel allows is enough for one leg
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
	reading.Go(func() { readErr = b.read(ctx) })
	sum := Summary{Calls: 1}
	err = b.publish(ctx, to, &sum)
	cancel()
	reading.Wait()
	err = errors.Join(err, readErr, conn.Close())
	opt.client().CloseIdleConnections()
	sum.Packets, sum.Unsent = b.sent, b.intake.counts()
	sum.Unsent.Overdue = b.overdue + b.unwritten + int64(len(b.queue))
	if b.pending != nil {
		sum.Unsent.Overdue++
	}
	if err != nil {
		sum.Errors = append(sum.Errors, err)
	} else {
		sum.Finished = 1
	}
	return sum, nil
}

// bridge is a socket on one side, and a session on the other.
type bridge struct {
	src    *RTPSource
	opt    *Options
	conn   *net.UDPConn
	intake rtpIntake        // of the reading goroutine
	queue  chan *rtp.Packet // closed when the source has ended

	overdue   int64       // of the reading goroutine
	sent      int64       // of the publishing one
	unwritten int64       // as well
	pending   *rtp.Packet // taken from the queue, and not yet sent
}

// read takes what comes in, until the source has ended or the context is done.
func (b *bridge) read(ctx context.Context) error {
	defer close(b.queue)
	stop := context.AfterFunc(ctx, func() { _ = b.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	began := time.Now()
	goodbye := time.Time{}
	buf := make([]byte, largestPacket+1)
	var packets []*rtp.Packet
	for {
		until := began.Add(b.src.Wait)
		if b.intake.source.IsValid() {
			until = b.intake.heard.Add(b.src.Idle)
		}
		if b.intake.bye && goodbye.Add(afterBye).Before(until) {
			until = goodbye.Add(afterBye)
		}
		if err := b.conn.SetReadDeadline(until); err != nil {
			return err
		}
		if ctx.Err() != nil { // looked at after the deadline was set, or that of the context would be overwritten
			return nil
		}
		n, from, err := b.conn.ReadFromUDPAddrPort(buf)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && isTimeout(err):
			return b.ended()
		case err != nil:
			return fmt.Errorf("listen for RTP: %w", err)
		}
		said := b.intake.bye
		packets = b.intake.take(packets[:0], buf[:n], from, now)
		if b.intake.bye && !said {
			goodbye = now
		}
		for _, p := range packets {
			b.enqueue(p)
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// ended says whether the source ended as it should.
func (b *bridge) ended() error {
	in := &b.intake
	switch {
	case !in.source.IsValid() && len(in.unsent.Types) > 0:
		return fmt.Errorf(
			"no audio came to %s, only payload type %d (hint: rtp://HOST:PORT?codec=...&payload=%d)",
			b.conn.LocalAddr(),
			in.other,
			in.other,
		)
	case !in.source.IsValid():
		return fmt.Errorf(
			"no RTP came to %s for %v (hint: does the media server send to it, and may it through the firewall?)",
			b.conn.LocalAddr(),
			b.src.Wait,
		)
	// As many would be half a second of a key that is held down.
	case !in.bye && in.since >= 25:
		return fmt.Errorf(
			"the source has gone on with payload type %d instead of %d (hint: begin the leg anew with the other codec)",
			in.other,
			in.payload,
		)
	}
	return nil
}

// enqueue never waits. The oldest packets are given up when nobody takes them.
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

// publish sends the leg from its first packet to its last, over as many sessions as it takes.
func (b *bridge) publish(ctx context.Context, to string, sum *Summary) error {
	if b.pending = <-b.queue; b.pending == nil {
		return nil // read says why
	}
	s := session{
		opt:       b.opt,
		codec:     b.intake.codec,
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
		case err == nil || sum.Connected == 0 || errors.Is(err, errEnded): // whoever has ended it does not want it anew
			return err
		case errors.Is(err, errLost):
			lost = time.Now()
			sum.Reconnects++
			continue // at once, while the server keeps the call open
		case errors.As(err, &no) && no.status < 500 || time.Since(lost) > reconnectFor:
			return err
		}
		select {
		case <-time.After(reconnectEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// play sends what comes until the source ends, which the end of the context makes it do.
func (b *bridge) play(ctx context.Context, track *webrtc.TrackLocalStaticRTP) error {
	for {
		if b.pending == nil {
			if b.pending = <-b.queue; b.pending == nil {
				time.Sleep(b.opt.linger())
				return nil
			}
		}
		if err := context.Cause(ctx); down(err) {
			return err
		}
		audio := len(b.pending.Payload) > 0
		if err := track.WriteRTP(b.pending); err != nil {
			b.unwritten++ // that the connection is gone is told by its state
		} else if audio {
			b.sent++
		}
		b.pending = nil
	}
}
