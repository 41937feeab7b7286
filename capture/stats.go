package capture

import "time"

// Stats counts the packets and samples of a leg. No count ever decreases.
type Stats struct {
	Received   uint64 // packets, duplicates and late ones included
	Duplicate  uint64 // packets that had arrived before
	Reordered  uint64 // packets that arrived after a later one, but in time
	Late       uint64 // packets that arrived after their place was filled
	Missing    uint64 // packets of which neither the original nor a copy arrived
	Repaired   uint64 // packets replaced by a copy (RED or in-band FEC)
	Events     uint64 // telephone-event packets
	Malformed  uint64 // packets that are not RTP, or whose payload type was not negotiated
	Undecoded  uint64 // packets that the decoder rejected; concealed like missing ones
	Restarts   uint64 // changes of the SSRC, and timestamp jumps that do not fit the arrival times
	Decoded    int64  // samples that came out of a decoder
	Concealed  int64  // samples synthesized for short losses; part of Lost
	Lost       int64  // samples whose packets never arrived or could not be decoded, and those between two streams
	Silent     int64  // samples that were never sent: DTX, mute, hold
	LastPacket time.Time
}
