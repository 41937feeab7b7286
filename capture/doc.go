// Package capture turns the audio of one leg of a call into speech segments.
//
// A [Segmenter] takes mono 16-bit PCM at a fixed rate, in order, and hands out segments: contiguous pieces of the
// recording that hold enough net speech to be worth an analysis, cut in pauses. Whatever it hears and does not hand out
// for analysis it reports as skipped, with the reason, so that the coverage of a call adds up.
//
// Nothing here has a clock, a lock or a goroutine: positions are sample counts and time is an argument.
package capture
