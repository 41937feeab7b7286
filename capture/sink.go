package capture

// Sink takes the audio of a leg in the order of the call. *Segmenter is one.
type Sink interface {
	// Write takes audio as it was sent. It does not keep the slice.
	Write(pcm []int16)
	// Conceal takes audio that was synthesized in place of lost audio. It does not keep the slice.
	Conceal(pcm []int16)
	// Gap advances the position over samples without audio: lost, or never sent.
	Gap(samples int64, lost bool)
	// Pause reports that no packet has arrived for a while. Whether the time was lost or silent is not known yet.
	Pause()
}

// RateSink is a Sink whose sample rate can rise during a leg. A Leg asks for it by a type assertion when a decoder has a
// higher rate than the leg.
type RateSink interface {
	Sink
	// Raise makes rate the sample rate of the audio and positions from now on. After an error the rate stays as it was.
	Raise(rate int) error
}
