// Package whip takes calls in over WebRTC: it is a WHIP server, RFC 9725. A session is one leg of one call; the call and
// the leg stand in the path, /whip/{call}/{leg}.
package whip
