package review

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/report"
)

// The kinds of gaps, which have a colour and a legend each.
const (
	gapLost       = "lost"
	gapPaused     = "paused"
	gapUnrecorded = "unrecorded"
	gapUnread     = "unread"
	gapAbsent     = "absent"
)

// gapWords are the entries of the legend, in its order.
var gapWords = []struct{ Kind, Words string }{
	{gapLost, "lost on the network"},
	{gapUnrecorded, "arrived, not recorded"},
	{gapPaused, "paused"},
	{gapUnread, "in the file, not read"},
	{gapAbsent, "no sender"},
}

// gap is a stretch of a leg without audio.
type gap struct {
	Leg      string
	Kind     string
	From, To report.Seconds
	What     string // in words
}

// Title describes the gap completely.
func (g gap) Title() string {
	return fmt.Sprintf("%s, %s to %s: %s", g.Leg, clockText(g.From), clockText(g.To), g.What)
}

// gapsOf returns the gaps of a leg, in the order of the call.
func gapsOf(l report.LegReport) (list []gap) {
	if l.Ledger == nil {
		return nil
	}
	for _, s := range l.Ledger.Spans {
		if kind := kindOf(s.Reason); kind != gapPaused || len(l.Ledger.Pauses) == 0 { // a pause also names the person
			list = append(list, gap{
				Leg:  l.Leg,
				Kind: kind,
				From: s.Start,
				To:   s.End,
				What: spanWords(s.Reason, kind),
			})
		}
	}
	for _, p := range l.Ledger.Pauses {
		to := p.To
		if to <= p.From { // it lasts
			to = max(l.Duration, p.From)
		}
		list = append(list, gap{
			Leg:  l.Leg,
			Kind: gapPaused,
			From: p.From,
			To:   to,
			What: pauseWords(p),
		})
	}
	if behind := l.Unread - inside(l); behind > 0 {
		list = append(list, gap{
			Leg:  l.Leg,
			Kind: gapUnread,
			From: l.Duration,
			To:   l.Duration + behind,
			What: "not read: " + reasonsText(without(l.Ledger.Unread, insideReasons...)),
		})
	}
	slices.SortStableFunc(list, func(a, b gap) int { return cmp.Compare(a.From, b.From) })
	return list
}

// insideReasons are those of unread audio that does not follow the audio that was read.
var insideReasons = []string{report.Damaged, string(encode.FurtherTrack)}

// inside returns the unread audio of a file that lies beside or between what was read.
func inside(l report.LegReport) (sum report.Seconds) {
	for _, reason := range insideReasons {
		sum += l.Ledger.Unread[reason]
	}
	return sum
}

func without(m map[string]report.Seconds, reasons ...string) map[string]report.Seconds {
	rest := map[string]report.Seconds{}
	for reason, d := range m {
		if !slices.Contains(reasons, reason) {
			rest[reason] = d
		}
	}
	return rest
}

func kindOf(reason string) string {
	switch capture.Reason(reason) {
	case capture.MissingLost:
		return gapLost
	case capture.MissingPaused:
		return gapPaused
	case capture.MissingAbsent:
		return gapAbsent
	}
	return gapUnrecorded
}

func spanWords(reason, kind string) string {
	if kind == gapUnrecorded {
		return "not recorded: " + inWords(reason)
	}
	return inWords(reason)
}

func pauseWords(p report.Pause) string {
	words := "paused"
	if p.By != "" {
		words += " by " + p.By
	}
	switch {
	case p.To <= p.From:
		words += ", not resumed yet"
	case p.ResumedBy != "" && p.ResumedBy != p.By:
		words += ", resumed by " + p.ResumedBy
	}
	return words
}

// lengthOf returns the end of a leg, unread audio behind it included.
func lengthOf(l report.LegReport) report.Seconds {
	if l.Ledger == nil {
		return l.Duration
	}
	return l.Duration + max(l.Unread-inside(l), 0)
}

// drawn returns the gaps of a leg as stretches of the timeline.
func (a axis) drawn(l report.LegReport) (list []gapDrawn) {
	for _, g := range gapsOf(l) {
		from, to := time.Duration(g.From), time.Duration(g.To)
		list = append(list, gapDrawn{Kind: g.Kind, stretch: stretch{X: a.at(from), W: a.at(to - from), Title: g.Title()}})
	}
	return list
}

type gapDrawn struct {
	Kind string
	stretch
}
