package publish

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"callscreen/internal/wait"
)

// player sends a recording in real time.
type player struct {
	media  *Media
	seed   uint64 // of the first sequence number and timestamp
	sent   *atomic.Int64
	linger time.Duration // delivery time of the last packets
}

// play writes each packet at its time. Packets that are late, because the machine was too busy, follow at once.
func (p *player) play(ctx context.Context, track *rtpTrack) error {
	packet := rtp.Packet{Header: rtp.Header{
		Version:        2,
		Marker:         true,
		PayloadType:    uint8(payloadType(p.media.Codec.MimeType)),
		SequenceNumber: uint16(p.seed * 7919),
		Timestamp:      uint32(p.seed * 104729),
	}}
	start, ticks := time.Now(), uint64(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for _, m := range p.media.Packets {
		at := time.Duration(float64(ticks) / float64(p.media.Codec.ClockRate) * float64(time.Second))
		if wait := time.Until(start.Add(at)); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if m.Payload != nil {
			packet.Payload = m.Payload
			if err := track.WriteRTP(&packet); err != nil {
				return err
			}
			p.sent.Add(1)
			packet.SequenceNumber++
			packet.Marker = false
		}
		packet.Timestamp += m.Ticks
		ticks += uint64(m.Ticks)
	}
	// Wait for the last packets, so that the end of the call does not overtake them.
	_ = wait.For(ctx, p.linger)
	return nil
}
