package capture

import "time"

// Stats counts what happened to the packets and samples of a leg. All counts only grow.
type Stats struct {
	Received   uint64 // packets, duplicates and late ones included
	Duplicate  uint64 // packets that were there already
	Reordered  uint64 // packets that came after a later one, and still in time
	Late       uint64 // packets that came after their place was filled
	Missing    uint64 // packets that never came, copies of them neither
	Repaired   uint64 // packets that never came, but a copy of them did (RED or in-band FEC)
	Events     uint64 // telephone-event packets
	Malformed  uint64 // packets that are no RTP, or of no payload type that was negotiated
	Undecoded  uint64 // packets that the decoder refused; concealed like missing ones
	Restarts   uint64 // changes of the SSRC, and jumps of the timestamps that no time can explain
	Decoded    int64  // samples that came out of a decoder
	Concealed  int64  // samples made up for short losses; part of Lost
	Lost       int64  // samples whose packets never came or could not be decoded
	Silent     int64  // samples that were never sent: DTX, mute, hold
	LastPacket time.Time
}
