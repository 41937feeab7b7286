package whip

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"
)

// Intake is what the server needs of the rest of the program.
type Intake interface {
	// Open admits a session. An error of type *Refusal says how to answer it.
	Open(ctx context.Context, s Session) (Leg, error)
}

// Leg is where the audio of a session goes.
type Leg interface {
	// Track reads a track to its end. It is called for each track of the session, one after the other.
	Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error
	// Close is called once, when the session is over and no Track is running: at the wish of the sender, or because the
	// connection was lost.
	Close(lost bool)
}

// Session is what a sender says it sends.
type Session struct {
	Call, Leg string
	Metadata  map[string]string // the query parameters that mean nothing to the server
	Channels  []string          // two legs that share a stereo track, from ?channels=caller,agent
	Token     string            // name of the token that was presented
}

// Refusal is why a session is not admitted.
type Refusal struct {
	Status     int
	RetryAfter time.Duration
	Reason     string
}

func (r *Refusal) Error() string { return r.Reason }
