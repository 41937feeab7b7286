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
	Accept(ctx context.Context, r intake.Request) (Leg, error)
}

// Leg takes the audio of a session.
type Leg interface {
	// Track reads a track to its end. The tracks of a session come one after the other.
	Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error
	// LastPacket returns the arrival of the last packet, zero before the first.
	LastPacket() time.Time
	// Close is called once, when the session is over and no Track is running. lost reports that the sender did not hang up.
	Close(lost bool)
}
