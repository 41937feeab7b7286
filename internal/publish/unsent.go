package publish

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tolerated is the number of packets that may be strays or of another address without making a publication fail: the end of an
// earlier call, or a packet of a scanner. toleratedTime is the time of their audio.
const (
	tolerated     = 25
	toleratedTime = tolerated * 20 * time.Millisecond
)

// Unsent counts received datagrams that were not forwarded with their audio.
type Unsent struct {
	Garbage     int64           // not RTP
	STUN        int64           // of ICE
	DTLS        int64           // handshakes of DTLS-SRTP
	Excluded    int64           // from a host that from= rules out
	Strangers   int64           // from another address than that of the source
	Strays      int64           // of another stream than the forwarded one
	Types       map[uint8]int64 // without audio, by payload type: telephone-event, comfort noise
	Undecodable map[uint8]int64 // of codecs that were not named, by payload type; forwarded as undecodable
	Encrypted   int64           // SRTP; forwarded as undecodable
	Overdue     int64           // not sent in time, for example without a connection
	RTCP        int64           // only read for BYE
	Copies      int64           // second copies of packets that were sent

	unknownTime time.Duration // of the audio of Strangers and Strays
}

// String lists the counts above 0, without RTCP and copies, which are normal. It returns "" if all are 0.
func (u Unsent) String() string {
	var parts []string
	add := func(n int64, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	for _, pt := range slices.Sorted(maps.Keys(u.Types)) {
		add(u.Types[pt], fmt.Sprintf("of payload type %d", pt))
	}
	for _, pt := range slices.Sorted(maps.Keys(u.Undecodable)) {
		add(u.Undecodable[pt], fmt.Sprintf("undecodable of payload type %d", pt))
	}
	add(u.Encrypted, "encrypted")
	add(u.Strangers, "from another address")
	add(u.Excluded, "from an excluded host")
	add(u.Strays, "of another stream")
	add(u.Garbage, "not RTP")
	add(u.STUN, "of STUN")
	add(u.DTLS, "of DTLS")
	add(u.Overdue, "not sent in time")
	return strings.Join(parts, ", ")
}

// unknown returns the number of packets that the server cannot know of, because they have no place in the leg.
func (u Unsent) unknown() int64 { return u.Strangers + u.Strays }

// undecodable returns the number of packets of codecs that were not named, and the payload type of most of them.
func (u Unsent) undecodable() (n int64, most uint8) {
	for pt, of := range u.Undecodable {
		n += of
		if of > u.Undecodable[most] || of == u.Undecodable[most] && pt < most {
			most = pt
		}
	}
	return n, most
}

// Err returns an error if received audio was not forwarded, beyond half a second of strays. Telephone-event, comfort noise,
// RTCP, datagrams that are no RTP and hosts that from= excludes do not count.
func (u Unsent) Err() error {
	var errs []error
	if u.Encrypted > 0 {
		errs = append(errs, fmt.Errorf(
			"the source sends SRTP: %d packets are encrypted and cannot be decoded (hint: have the media server send plain RTP, RTP/AVP)",
			u.Encrypted,
		))
	}
	if n, pt := u.undecodable(); n > tolerated {
		errs = append(errs, fmt.Errorf(
			"the source sent %d packets of payload type %d, whose codec is not known (hint: rtp://HOST:PORT?codec=...&payload=%d)",
			n, pt, pt,
		))
	}
	if n := u.unknown(); n > tolerated || u.unknownTime > toleratedTime {
		errs = append(errs, fmt.Errorf(
			"%d packets were not sent: %d came from another address, %d of another stream (hint: give each leg its own port)",
			n, u.Strangers, u.Strays,
		))
	}
	if u.Overdue > 0 {
		errs = append(errs, fmt.Errorf("%d packets were not sent in time (hint: check the connection to the sidecar)", u.Overdue))
	}
	return errors.Join(errs...)
}
