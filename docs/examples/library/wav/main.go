// Command wav screens the first channel of a recording and prints the decision: go run ./docs/examples/library/wav FILE
package main

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/docs/examples/library"
	"callscreen/policy"
)

const rate = 16_000 // Hz

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: wav FILE")
	}
	api := httptest.NewServer(simulator.New(simulator.Script{})) // it detects nothing; without BaseURL the real API is used
	defer api.Close()
	client, err := analyzer.New("any-key", &analyzer.Options{BaseURL: api.URL})
	if err != nil {
		log.Fatal(err)
	}
	decision, err := screen(context.Background(), client, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(decision.Outcome, decision.Reasons)
}

func screen(ctx context.Context, client *analyzer.Client, file string) (policy.Decision, error) {
	detector, err := vad.New(rate, nil)
	if err != nil {
		return policy.Decision{}, err
	}
	segmenter, err := capture.NewSegmenter(detector, capture.SegmenterConfig{Rate: rate})
	if err != nil {
		return policy.Decision{}, err
	}
	if err := library.ReadMono(ctx, file, 0, rate, segmenter.Write); err != nil {
		return policy.Decision{}, err
	}
	segmenter.Flush()
	var findings []policy.Finding
	for segment, ok := segmenter.Next(); ok; segment, ok = segmenter.Next() {
		findings = append(findings, library.Finding(ctx, client, "caller", segment))
	}
	return policy.Default().Decide(findings, nil), nil
}
