// Command ontrack answers WHIP at 127.0.0.1:8081, screens each leg that arrives, and prints the decision when its sender leaves:
// callscreen publish FILE --to http://127.0.0.1:8081/whip/call-1/caller
package main

import (
	"context"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/pion/webrtc/v4"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/docs/examples/library"
	"callscreen/encode"
	"callscreen/policy"
)

func main() {
	api := httptest.NewServer(simulator.New(simulator.Script{})) // it detects nothing; without BaseURL the real API is used
	client, err := analyzer.New("any-key", &analyzer.Options{BaseURL: api.URL})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /whip/{call}/{leg}", func(w http.ResponseWriter, r *http.Request) {
		recorder, err := capture.NewRecorder(capture.RecorderConfig{
			NewDecoder: func(_, mime string) (capture.Decoder, error) { return encode.NewRTPDecoder(mime, -1) },
			NewVAD:     func(rate int) (capture.VAD, error) { return vad.New(rate, nil) },
		})
		if err != nil {
			log.Fatal(err)
		}
		record := func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
			if err := recorder.Record(context.Background(), r.PathValue("leg"), track, receiver.GetParameters().Codecs...); err != nil {
				log.Print(err)
			}
		}
		go screen(client, recorder)
		if err := library.Answer(w, r, record, recorder.End); err != nil {
			recorder.End()
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	// The sender closes the connection after this request, which ends the leg.
	http.HandleFunc("DELETE /whip/{call}/{leg}", func(http.ResponseWriter, *http.Request) {})
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", nil))
}

func screen(client *analyzer.Client, recorder *capture.Recorder) {
	var findings []policy.Finding
	segment, err := recorder.Next(context.Background())
	for ; err == nil; segment, err = recorder.Next(context.Background()) { // io.EOF after End
		findings = append(findings, library.Finding(context.Background(), client, segment.Leg, segment.Segment))
	}
	log.Print(policy.Default().Decide(findings, nil).Outcome)
}
