package capture_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pion/webrtc/v4"

	"callscreen/capture"
)

// A program with its own PeerConnection records its tracks and analyses the segments.
func ExampleRecorder() {
	recorder, err := capture.NewRecorder(capture.RecorderConfig{
		NewDecoder: func(leg, mimeType string) (capture.Decoder, error) {
			return &idDecoder{}, nil // in a program: encode.NewRTPDecoder(mimeType, -1)
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
		// Record blocks until the track ends. Here the stream id names the leg; use the name from your signalling.
		if err := recorder.Record(ctx, track.StreamID(), track, receiver.GetParameters().Codecs...); err != nil {
			log.Print(err)
		}
	})

	// When the call has ended:
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
