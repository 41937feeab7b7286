package vad_test

import (
	"fmt"

	"callscreen/capture"
	"callscreen/capture/vad"
)

// A leg is classified frame by frame; this one is silent.
func ExampleDetector_Classify() {
	detector, err := vad.New(16000, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	leg := make([]int16, 16000)
	speech := 0
	for len(leg) >= detector.FrameSize() {
		if detector.Classify(leg[:detector.FrameSize()]) == capture.Speech {
			speech++
		}
		leg = leg[detector.FrameSize():]
	}
	fmt.Println(detector.FrameSize(), "samples a frame,", speech, "frames of speech")
	// Output: 512 samples a frame, 0 frames of speech
}
