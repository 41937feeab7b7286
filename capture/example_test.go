package capture_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pion/webrtc/v4"

	"callscreen/capture"
)

// A program that has a PeerConnection of its own attaches its tracks to a Recorder, and analyses what comes out.
func ExampleRecorder() {
	recorder, err := capture.NewRecorder(capture.RecorderConfig{
		NewDecoder: func(leg, mimeType string) (capture.Decoder, int, error) {
			return &idDecoder{}, 8000, nil // in a program: encode.NewRTPDecoder(mimeType, -1)
		},
		NewVAD: func(rate int) (capture.VAD, error) {
			return &tagVAD{}, nil // in a program: vad.New(rate, nil)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		log.Fatal(err)
	}
	defer pc.Close()
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		// Blocks until the track ends. The stream id says whose voice it is, as far as your signalling does.
		if err := recorder.Record(ctx, track.StreamID(), track, receiver.GetParameters().Codecs...); err != nil {
			log.Print(err)
		}
	})

	// ... the call takes place, and ends:
	recorder.End()

	for {
		segment, err := recorder.Next(ctx)
		if err != nil { // io.EOF: the call has ended and everything was fetched
			fmt.Println(err)
			break
		}
		if segment.Skipped == "" {
			// encode.WriteWAV(file, segment.Rate, segment.PCM), then analyzer.Client.Analyze, then policy.Decide
			fmt.Println(segment.Leg, segment.Offset(), segment.SpeechDuration())
		}
	}
	// Output: EOF
}
