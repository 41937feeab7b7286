package whip

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/internal/intake"
)

// Intake accepts sessions.
type Intake interface {
	// Accept joins a session to its call. An error of type *intake.Refusal becomes the answer.
	Accept(ctx context.Context, r intake.Request) (Receiver, error)
}

// Receiver takes the audio of a session.
type Receiver interface {
	// Track reads a track to its end. Several tracks of a session may be read at the same time. The error is
	// capture.ErrTakenOver when a newer session of the same sender records the leg.
	Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error
	// LastPacket returns the arrival of the last packet, zero before the first.
	LastPacket() time.Time
	// Close is called once, when the session is over and no Track is running.
	Close(how intake.Departure)
}
