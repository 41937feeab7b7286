package intake

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// Track records a WebRTC track to its end, as two legs if the sender announced so.
func (l *LegSession) Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error {
	negotiated := receiver.GetParameters().Codecs
	var reports sync.WaitGroup
	defer reports.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reports.Go(func() { l.readReports(receiver) })
	defer func() { _ = receiver.SetReadDeadline(time.Unix(1, 0)) }() // ends readReports
	if len(l.request.Channels) != 2 {
		return l.Record(ctx, track, negotiated...)
	}
	return l.recordTwo(ctx, track, negotiated)
}

// recordTwo records a stereo track that carries two parties as two legs.
func (l *LegSession) recordTwo(ctx context.Context, track *webrtc.TrackRemote, negotiated []webrtc.RTPCodecParameters) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left, right := tee(ctx, track)
	var other sync.WaitGroup
	var otherErr error
	other.Go(func() {
		defer cancel()
		otherErr = l.record(ctx, l.request.Channels[1], right, negotiated...)
	})
	err := l.record(ctx, l.request.Channels[0], left, negotiated...)
	cancel()
	other.Wait()
	if errors.Is(otherErr, context.Canceled) {
		otherErr = nil
	}
	return errors.Join(err, otherErr)
}

// readReports hands over the sender reports. All RTCP must be read in any case, or the interceptors of pion stand still.
func (l *LegSession) readReports(receiver *webrtc.RTPReceiver) {
	buf := make([]byte, 1500)
	for {
		n, _, err := receiver.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				l.SenderReport(sr)
			}
		}
	}
}
