// Package capture turns the audio of the legs of a call into speech segments.
//
// A [Leg] takes the RTP packets of one leg. It puts them in order, decodes them, and writes mono 16-bit PCM to a [Sink] at
// the place given by the RTP timestamps. A [Segmenter] is such a sink: it returns segments, contiguous pieces of the leg
// that hold enough net speech for an analysis, cut in pauses. Sound that it does not return for analysis it reports as
// skipped, with the reason, so that the coverage of a call adds up.
//
// Leg and Segmenter have no clock, lock or goroutine: positions are sample counts and time is an argument. A [Recorder]
// joins both to the tracks of a WebRTC connection. It reads the clock, locks, and is safe for concurrent use.
package capture
