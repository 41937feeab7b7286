// Package simulator is a stand-in for the analysis API, for tests, demonstrations and development without a key.
//
// It detects nothing. Its scores come from a [Script] and say nothing about a recording; every answer says so, in the
// header X-Simulated and in the field "simulated". Without a script it gives a high score to audio that carries the
// marker tone of this project's synthetic fixtures, 3,000 Hz, and a low one to everything else.
//
// What it checks is what the API's page asks for: the token, exactly one form field "file", a WAV, MP3 or M4A file, at
// most 10 MB. What it can be scripted to do is what the real API may do to its client on a bad day.
package simulator
