// Package demo holds the two calls that `callscreen demo` plays. Their origins and licences are those of the clips in
// testdata/audio, of which they are Opus copies.
package demo

import _ "embed"

// Human is a human reader, 23 s, Ogg Opus: LibriVox, public domain.
//
//go:embed human.opus
var Human []byte

// Synthetic is espeak-ng, 25 s, Ogg Opus, with the marker tone that the stand-in for the API goes by.
//
//go:embed synthetic.opus
var Synthetic []byte
