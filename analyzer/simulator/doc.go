// Package simulator simulates the analysis API, for tests, demonstrations and development without a key.
//
// It detects nothing. Its scores come from a [Script] and have no relation to the recording. Every answer is marked
// with the header X-Simulated and the field "simulated". Without a script, audio with the marker tone of the synthetic
// fixtures (3,000 Hz) gets a high score and all other audio a low one.
//
// The simulator validates requests as the documentation of the API requires: the token, exactly one form field "file",
// a WAV, MP3 or M4A file of at most 10 MB. A script can reproduce the failures of a real service.
package simulator
