// Package intake is the seam for every way in: a door hands over what a sender announces, and gets a leg of a call to record
// into, or a refusal with its reason.
package intake

import (
	"maps"
	"time"
)

// Sender is the identity behind a request.
type Sender struct {
	Name      string // of the token; "" where authentication is off
	Call, Leg string // the only ones that the token is good for; "" is any
	// Metadata is stated by a signed token, and outranks what the sender announces.
	Metadata map[string]string
}

// Same reports whether two requests come from one sender.
func (s Sender) Same(o Sender) bool { return s.Name == o.Name && s.Call == o.Call && s.Leg == o.Leg }

// May reports whether the sender is authorized for a request. A token for one leg does not cover a track that becomes two
// legs.
func (s Sender) May(r Request) bool {
	return (s.Call == "" || s.Call == r.Call) && (s.Leg == "" || s.Leg == r.Leg && len(r.Channels) == 0)
}

// Request holds the call, the legs and the metadata that a sender announces.
type Request struct {
	Call, Leg string
	Channels  []string          // two legs that share a stereo track; nil: Leg is the only one
	Metadata  map[string]string // of the call
	Sender    Sender
}

// metadata returns the announced metadata. That of a signed token wins.
func (r Request) metadata() map[string]string {
	m := maps.Clone(r.Metadata)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, r.Sender.Metadata)
	return m
}

// Legs returns the names of the legs that the sender fills.
func (r Request) Legs() []string {
	if len(r.Channels) > 0 {
		return r.Channels
	}
	return []string{r.Leg}
}

// Kind is the class of a refusal. A door maps it to the terms of its protocol.
type Kind uint8

// The kinds of refusals.
const (
	Unavailable Kind = iota // nothing can be recorded for now
	Taken                   // another sender holds the leg
	Invalid                 // the announcement makes no sense
	Limited                 // the client has as much as one may have
)

// Refusal is the error of a request that is not accepted.
type Refusal struct {
	Kind       Kind
	RetryAfter time.Duration // 0: not known
	Reason     string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Reason }
