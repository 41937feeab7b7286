// Package library joins the four leaf packages: its function Finding takes a segment of package capture, makes a file of it
// with package encode, has it scored by package analyzer, and returns a finding for package policy.
package library

import (
	"context"

	"callscreen/analyzer"
	"callscreen/capture"
	"callscreen/encode"
	"callscreen/policy"
)

// Finding analyses a segment of a leg. A segment that cannot be analysed is a failed finding, which keeps the call from being
// clear.
func Finding(ctx context.Context, client *analyzer.Client, leg string, segment capture.Segment) policy.Finding {
	finding := policy.Finding{Leg: leg, Seq: segment.Seq, Speech: segment.SpeechDuration()}
	if segment.Skipped != "" {
		finding.State, finding.Reason = policy.Skipped, segment.Skipped
		return finding
	}
	result, err := analyze(ctx, client, segment)
	if err != nil {
		finding.State, finding.Reason = policy.Failed, analyzer.Reason(err)
		return finding
	}
	finding.State, finding.Score = policy.Scored, result.Score
	return finding
}

func analyze(ctx context.Context, client *analyzer.Client, segment capture.Segment) (analyzer.Result, error) {
	clip, err := encode.WAV(segment.Rate, segment.PCM)
	if err != nil {
		return analyzer.Result{}, err
	}
	return client.Analyze(ctx, analyzer.BytesAudio(clip), nil)
}
