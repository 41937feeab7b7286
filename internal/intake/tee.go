package intake

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
)

// tee lets two readers read the packets of one track: the first from the track itself, the second copies.
func tee(ctx context.Context, track *webrtc.TrackRemote) (first, second capture.Track) {
	c := &copied{track: track, packets: make(chan []byte, 256), done: ctx.Done()}
	return &copying{TrackRemote: track, to: c}, c
}

type copying struct {
	*webrtc.TrackRemote
	to *copied
}

func (t *copying) Read(b []byte) (int, interceptor.Attributes, error) {
	n, attributes, err := t.TrackRemote.Read(b)
	if err == nil {
		select {
		case t.to.packets <- append([]byte(nil), b[:n]...):
		default: // the other reader is stuck; its leg reports the packet as lost
		}
	}
	return n, attributes, err
}

type copied struct {
	track   *webrtc.TrackRemote
	packets chan []byte
	done    <-chan struct{}

	mu       sync.Mutex
	deadline time.Time
}

func (t *copied) Codec() webrtc.RTPCodecParameters { return t.track.Codec() }

func (t *copied) SetReadDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline = at
	return nil
}

func (t *copied) Read(b []byte) (int, interceptor.Attributes, error) {
	t.mu.Lock()
	wait := time.Until(t.deadline)
	t.mu.Unlock()
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case p := <-t.packets:
		return copy(b, p), nil, nil
	case <-timer.C:
		return 0, nil, os.ErrDeadlineExceeded
	case <-t.done:
		return 0, nil, io.EOF
	}
}
