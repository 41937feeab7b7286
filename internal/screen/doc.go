// Package screen is the durable pipeline of `callscreen serve`. A [Live] records the legs of live calls into the spool, a
// [Forwarder] moves their segments into the audio store and the database, a [Worker] has each one analysed, and a [Decider]
// decides the calls. Every step is a row, so that another process can go on from there. Recordings of `callscreen replay` do
// not pass through here: see package replay.
package screen
