// Package demo holds the two calls of `callscreen demo`. They are Opus copies of clips in testdata/audio, with the same
// origins and licences.
package demo

import _ "embed"

// Human is a human reader, 23 s, Ogg Opus: LibriVox, public domain.
//
//go:embed human.opus
var Human []byte

// Synthetic is espeak-ng, 25 s, Ogg Opus, with the marker tone that the simulator recognizes.
//
//go:embed synthetic.opus
var Synthetic []byte
