package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// place is a contiguous stretch of the audio of a segment.
type place struct {
	at       time.Duration // in the audio
	from, to time.Duration // in the call, or in the part
}

// placesOf returns the places of a segment, in order: one for each piece of a packed segment. They are later by shift.
func placesOf(g store.SegmentRow, shift time.Duration) []place {
	if len(g.Pieces) == 0 {
		from := g.Offset + shift
		return []place{{from: from, to: from + g.Duration}}
	}
	list := make([]place, 0, len(g.Pieces))
	for _, p := range g.Pieces {
		from := time.Duration(p.Offset) + shift
		list = append(list, place{at: time.Duration(p.At), from: from, to: from + time.Duration(p.Duration)})
	}
	slices.SortFunc(list, func(a, b place) int { return cmp.Compare(a.from, b.from) })
	return list
}

// inCall returns the stretches of the call that a range of the audio covers.
func inCall(places []place, from, to time.Duration) (list []stretchOf) {
	for _, p := range places {
		start, end := max(from, p.at), min(to, p.at+p.to-p.from)
		if start < end {
			list = append(list, stretchOf{p.from + start - p.at, p.from + end - p.at})
		}
	}
	return list
}

// endOf returns the end of a segment in the call.
func endOf(g report.SegmentReport) report.Seconds {
	end := g.Offset + g.Duration
	if len(g.Pieces) > 0 {
		end = 0
	}
	for _, p := range g.Pieces {
		end = max(end, p.Offset+p.Duration)
	}
	return end
}

// piecesText returns the places of a packed segment for the player, in seconds: "at,from,to;...". It is "" for one place.
func piecesText(places []place) string {
	if len(places) < 2 {
		return ""
	}
	list := make([]string, 0, len(places))
	for _, p := range places {
		list = append(list, fmt.Sprintf("%.3f,%.3f,%.3f", p.at.Seconds(), p.from.Seconds(), p.to.Seconds()))
	}
	return strings.Join(list, ";")
}

// packedText names the places of a packed segment, "" for one place.
func packedText(places []place) string {
	if len(places) < 2 {
		return ""
	}
	list := make([]string, 0, len(places))
	for _, p := range places {
		list = append(list, clockText(report.Seconds(p.from)))
	}
	return fmt.Sprintf("packed from %d short turns: %s", len(places), strings.Join(list, ", "))
}

// moved returns a segment whose places are later by shift.
func moved(g store.SegmentRow, shift time.Duration) store.SegmentRow {
	g.Offset += shift
	g.Pieces = slices.Clone(g.Pieces)
	for i := range g.Pieces {
		g.Pieces[i].Offset += report.Seconds(shift)
	}
	return g
}
