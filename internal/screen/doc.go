// Package screen composes the four leaves into one path, from audio to decision: a [Leg] cuts the PCM of one leg into
// segments, the [Screener] writes each as a WAV file and has it analysed, and a [Call] gathers what became of them and
// knows the decision at any time. Recordings and live calls take the same path.
package screen
