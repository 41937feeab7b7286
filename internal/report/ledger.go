package report

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/policy"
)

// Damaged is the reason of audio in a file that could not be decoded.
const Damaged = "damaged"

// Ledger accounts for all that was sent to a leg, or that stands in a recording: the packets of a live leg and the bytes of
// a file, each by what became of it.
type Ledger struct {
	Recorded Seconds `json:"recorded_seconds"` // received and decoded
	Noise    Seconds `json:"noise_seconds,omitempty"`
	Paused   Seconds `json:"paused_seconds,omitempty"`
	// Unrecorded is the audio that arrived and was not recorded, by reason.
	Unrecorded map[string]Seconds `json:"unrecorded_seconds,omitempty"`
	// Unread is the audio in a file that was not read, by reason.
	Unread map[string]Seconds `json:"unread_seconds,omitempty"`
	// Packets is nil for a recording.
	Packets *Packets `json:"packets,omitempty"`
	// Bytes is nil for a live leg. The legs of a recording share it.
	Bytes *Bytes `json:"bytes,omitempty"`
	// Interrupted reports that the connection of the leg broke and did not come back.
	Interrupted bool `json:"interrupted,omitempty"`
	// Spans lists where audio is missing, in the order of Start.
	Spans  []Span  `json:"spans,omitempty"`
	Pauses []Pause `json:"pauses,omitempty"`
}

// Packets counts RTP packets: Sent = Recorded + Lost + Paused + Duplicate + the sum of Unrecorded.
type Packets struct {
	Sent       int64            `json:"sent"`
	Recorded   int64            `json:"recorded"`
	Lost       int64            `json:"lost"`
	Paused     int64            `json:"paused"`
	Duplicate  int64            `json:"duplicate"`
	Unrecorded map[string]int64 `json:"unrecorded,omitempty"`
}

// Bytes counts the bytes of a file: Size = Read + Damaged + the sum of Unread.
type Bytes struct {
	Size    int64            `json:"size"`
	Read    int64            `json:"read"`
	Damaged int64            `json:"damaged"`
	Unread  map[string]int64 `json:"unread,omitempty"`
}

// Span is a stretch of a leg without audio.
type Span struct {
	Start  Seconds `json:"start_seconds"`
	End    Seconds `json:"end_seconds"`
	Reason string  `json:"reason"`
}

// Pause is a stretch of a leg that was discarded on request.
type Pause struct {
	By        string    `json:"by"`
	ResumedBy string    `json:"resumed_by,omitempty"`
	From      Seconds   `json:"from_seconds"`
	To        Seconds   `json:"to_seconds"`
	At        time.Time `json:"at"`
}

// OfLeg returns the ledger of a live leg.
func OfLeg(l capture.Ledger, noise time.Duration) *Ledger {
	r := &Ledger{
		Recorded: Seconds(l.Recorded.Time),
		Noise:    Seconds(noise),
		Paused:   Seconds(l.Paused.Time),
		Packets: &Packets{
			Sent:      l.Sent.Packets,
			Recorded:  l.Recorded.Packets,
			Lost:      l.Lost.Packets,
			Paused:    l.Paused.Packets,
			Duplicate: l.Duplicate.Packets,
		},
	}
	for reason, a := range l.Unrecorded {
		if a.Packets != 0 || a.Time != 0 {
			put(&r.Unrecorded, string(reason), Seconds(a.Time))
			put(&r.Packets.Unrecorded, string(reason), a.Packets)
		}
	}
	for _, m := range l.Spans {
		r.Spans = append(r.Spans, Span{Start: Seconds(m.Start), End: Seconds(m.End), Reason: string(m.Reason)})
	}
	for _, p := range l.Pauses {
		r.Pauses = append(r.Pauses, Pause{
			By:        p.Who,
			ResumedBy: p.ResumedBy,
			From:      Seconds(p.From),
			To:        Seconds(p.To),
			At:        p.Began.UTC(),
		})
	}
	return r
}

// OfFile returns the ledger of a leg of a recording of this duration.
func OfFile(a encode.Account, duration, noise time.Duration) *Ledger {
	r := &Ledger{
		Recorded: Seconds(max(duration-a.DamagedTime, 0)),
		Noise:    Seconds(noise),
		Bytes:    &Bytes{Size: a.Size, Read: a.Read, Damaged: a.Damaged},
	}
	if a.DamagedTime > 0 {
		put(&r.Unread, Damaged, Seconds(a.DamagedTime))
	}
	for reason, d := range a.UnreadTime {
		put(&r.Unread, string(reason), Seconds(d))
	}
	for reason, n := range a.Unread {
		put(&r.Bytes.Unread, string(reason), n)
	}
	return r
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// Unheard returns the audio that was not recorded or not read, by reason.
func (l *Ledger) Unheard() map[string]Seconds {
	var all map[string]Seconds
	for _, part := range []map[string]Seconds{l.Unrecorded, l.Unread} {
		for reason, d := range part {
			put(&all, reason, all[reason]+d)
		}
	}
	return all
}

// Add adds the ledger of a later part of the same leg, which starts after shift.
func (l *Ledger) Add(o *Ledger, shift time.Duration) {
	l.Recorded += o.Recorded
	l.Noise += o.Noise
	l.Paused += o.Paused
	l.Interrupted = o.Interrupted // the leg came back in the later part
	for reason, d := range o.Unrecorded {
		put(&l.Unrecorded, reason, l.Unrecorded[reason]+d)
	}
	for reason, d := range o.Unread {
		put(&l.Unread, reason, l.Unread[reason]+d)
	}
	if o.Packets != nil {
		if l.Packets == nil {
			l.Packets = &Packets{}
		}
		l.Packets.add(o.Packets)
	}
	if o.Bytes != nil && l.Bytes == nil {
		l.Bytes = o.Bytes
	}
	for _, s := range o.Spans {
		s.Start, s.End = s.Start+Seconds(shift), s.End+Seconds(shift)
		l.Spans = append(l.Spans, s)
	}
	for _, p := range o.Pauses {
		p.From, p.To = p.From+Seconds(shift), p.To+Seconds(shift)
		l.Pauses = append(l.Pauses, p)
	}
}

func (p *Packets) add(o *Packets) {
	p.Sent += o.Sent
	p.Recorded += o.Recorded
	p.Lost += o.Lost
	p.Paused += o.Paused
	p.Duplicate += o.Duplicate
	for reason, n := range o.Unrecorded {
		put(&p.Unrecorded, reason, p.Unrecorded[reason]+n)
	}
}

// Clone returns a copy that shares nothing with l.
func (l *Ledger) Clone() *Ledger {
	c := *l
	c.Unrecorded, c.Unread = maps.Clone(l.Unrecorded), maps.Clone(l.Unread)
	c.Spans, c.Pauses = slices.Clone(l.Spans), slices.Clone(l.Pauses)
	if l.Packets != nil {
		p := *l.Packets
		p.Unrecorded = maps.Clone(p.Unrecorded)
		c.Packets = &p
	}
	return &c
}

// Check returns an error if the sums of the ledger do not close.
func (l *Ledger) Check() error {
	if p := l.Packets; p != nil {
		sum := p.Recorded + p.Lost + p.Paused + p.Duplicate
		for _, n := range p.Unrecorded {
			sum += n
		}
		if sum != p.Sent {
			return fmt.Errorf("the ledger does not close: %d packets sent, %d booked", p.Sent, sum)
		}
	}
	if b := l.Bytes; b != nil {
		sum := b.Read + b.Damaged
		for _, n := range b.Unread {
			sum += n
		}
		if sum != b.Size {
			return fmt.Errorf("the ledger does not close: %d bytes in the file, %d booked", b.Size, sum)
		}
	}
	return nil
}

// account returns the ledger in the form that the policy reads.
func (l *Ledger) account(leg string, lost time.Duration) policy.Account {
	a := policy.Account{
		Leg:         leg,
		Recorded:    time.Duration(l.Recorded),
		Noise:       time.Duration(l.Noise),
		Lost:        lost,
		Paused:      time.Duration(l.Paused),
		Interrupted: l.Interrupted,
	}
	for reason, d := range l.Unheard() {
		put(&a.Unheard, reason, time.Duration(d))
	}
	if l.Bytes != nil { // what is damaged counts as unread
		a.Lost = max(a.Lost-time.Duration(l.Unread[Damaged]), 0)
	}
	return a
}

func total(m map[string]Seconds) (sum Seconds) {
	for _, d := range m {
		sum += d
	}
	return sum
}
