package review

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// timeline is the drawing of a call: one lane per leg on a common time axis. Positions along the axis are in percent,
// so that the browser can scale it; vertical positions are in pixels.
type timeline struct {
	Duration report.Seconds
	Height   int
	AxisY    int
	Ticks    []tick
	Lanes    []lane
	Legend   []legendEntry // of the gaps that are drawn
}

type legendEntry struct{ Kind, Words string }

type tick struct {
	X, Label string
	Anchor   string // text-anchor of the label
}

// lane is one leg.
type lane struct {
	Leg         string
	Y           int // top, including the label
	PlotY       int // top of the plot, a score of 1
	BaseY       int // bottom of the plot, a score of 0
	SpeechY     int
	GapY        int
	ThresholdY  float64
	Threshold   float64
	Bars        []bar
	Speech      []stretch
	NotRecorded []stretch
	Gaps        []gapDrawn
}

type stretch struct{ X, W, Title string }

// bar is one segment. It has a piece for each place of its audio in the call.
type bar struct {
	ID     string
	Kind   string // "over", "under", "failed", "skipped" or "open"
	Pieces []stretch
	X, W   string // of the first piece
	Middle string // of the piece with the label
	Y, H   float64
	LostW  string // "" without loss
	Label  string // "" without enough room
	LabelY float64
	Title  string // full description
}

const (
	laneHeight  = 132
	lanePlot    = 84
	laneLabel   = 26
	axisHeight  = 26
	mostTicks   = 6
	speechParts = 2000 // resolution of the drawn speech
)

func percent(share float64) string { return fmt.Sprintf("%.3f%%", min(max(share, 0), 1)*100) }

// axis maps times to positions.
type axis struct{ duration time.Duration }

func (a axis) at(d time.Duration) string {
	if a.duration <= 0 {
		return "0%"
	}
	return percent(float64(d) / float64(a.duration))
}

func (a axis) ticks() (list []tick) {
	step := time.Second
	for _, next := range []time.Duration{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 4 * 3600, 12 * 3600, 24 * 3600} {
		if step = next * time.Second; a.duration/step < mostTicks {
			break
		}
	}
	for at := time.Duration(0); at <= a.duration && len(list) < 100; at += step {
		t := tick{X: a.at(at), Label: clockText(report.Seconds(at)), Anchor: "middle"}
		if at == 0 {
			t.Anchor = "start"
		} else if a.duration-at < a.duration/25 {
			t.Anchor = "end"
		}
		list = append(list, t)
	}
	return list
}

// newTimeline returns the timeline of a call.
func newTimeline(r report.CallReport, segments []store.SegmentRow, parts []store.Part) timeline {
	end := time.Duration(span(r))
	recorded := map[string][]stretchOf{}
	for _, p := range parts {
		from := shift(r.StartedAt, p.PartKey)
		for _, l := range p.Legs {
			recorded[l.Leg] = append(recorded[l.Leg], stretchOf{from, from + l.Duration})
			end = max(end, from+l.Duration)
		}
	}
	a := axis{end}
	t := timeline{
		Duration: report.Seconds(end),
		Height:   laneHeight*len(r.Legs) + axisHeight,
		AxisY:    laneHeight * len(r.Legs),
		Ticks:    a.ticks(),
	}
	of := map[string][]store.SegmentRow{}
	for _, g := range segments {
		g = moved(g, shift(r.StartedAt, g.PartKey))
		of[g.Leg] = append(of[g.Leg], g)
	}
	for i, l := range r.Legs {
		y := i * laneHeight
		v := lane{
			Leg:       l.Leg,
			Y:         y,
			PlotY:     y + laneLabel,
			BaseY:     y + laneLabel + lanePlot,
			SpeechY:   y + laneLabel + lanePlot + 4,
			GapY:      y + laneLabel + lanePlot + 12,
			Threshold: l.Threshold,
		}
		v.ThresholdY = float64(v.BaseY) - l.Threshold*lanePlot
		for _, g := range of[l.Leg] {
			v.Bars = append(v.Bars, a.bar(v, g))
		}
		v.Speech = a.speech(of[l.Leg])
		v.NotRecorded = a.between(recorded[l.Leg])
		v.Gaps = a.drawn(l)
		if l.Ledger != nil { // the ledger has the places of what is lost
			for i := range v.Bars {
				v.Bars[i].LostW = ""
			}
		}
		t.Lanes = append(t.Lanes, v)
	}
	t.Legend = legend(t.Lanes)
	return t
}

// legend returns the entries for the gaps that are drawn.
func legend(lanes []lane) (list []legendEntry) {
	drawn := map[string]bool{}
	for _, l := range lanes {
		for _, g := range l.Gaps {
			drawn[g.Kind] = true
		}
		for _, b := range l.Bars {
			drawn[gapLost] = drawn[gapLost] || b.LostW != ""
		}
		drawn[gapAbsent] = drawn[gapAbsent] || len(l.NotRecorded) > 0
	}
	for _, w := range gapWords {
		if drawn[w.Kind] {
			list = append(list, legendEntry(w))
		}
	}
	return list
}

// bar returns the bar of a segment. The offset of the segment is relative to the start of the call.
func (a axis) bar(v lane, g store.SegmentRow) bar {
	places := placesOf(g, 0)
	b := bar{ID: g.ID, Y: float64(v.PlotY), H: lanePlot}
	widest := places[0]
	for _, p := range places {
		b.Pieces = append(b.Pieces, stretch{X: a.at(p.from), W: a.at(p.to - p.from)})
		if p.to-p.from > widest.to-widest.from {
			widest = p
		}
	}
	b.X, b.W, b.Middle = b.Pieces[0].X, b.Pieces[0].W, a.at((widest.from+widest.to)/2)
	var what string
	switch {
	case g.State == store.SegmentScored && g.Score != nil:
		b.H = max(*g.Score*lanePlot, 3)
		b.Y = float64(v.BaseY) - b.H
		b.Kind, what, b.Label = "under", "score "+scoreText(g.Score)+", not over the threshold", scoreText(g.Score)
		if *g.Score > v.Threshold {
			b.Kind, what = "over", "score "+scoreText(g.Score)+", over the threshold"
		}
	case g.State == store.SegmentFailed:
		b.Kind, what, b.Label = "failed", "not analysed: "+inWords(g.Reason), "failed"
	case g.State == store.SegmentSkipped:
		b.Kind, what, b.Label = "skipped", "skipped: "+inWords(g.Reason), "skipped"
	case g.Held():
		b.Kind, what, b.Label = "failed", "waits for a person: "+inWords(g.Reason), "in doubt"
	default:
		b.Kind, what, b.Label = "open", "being analysed", "…"
	}
	if g.Lost > 0 && g.Duration > 0 {
		b.LostW = percent(float64(g.Lost) / float64(max(a.duration, 1)))
		what += ", " + secondsText(report.Seconds(g.Lost)) + " lost"
	}
	if packed := packedText(places); packed != "" {
		what += ", " + packed
	}
	if float64(widest.to-widest.from) < float64(a.duration)*0.06 {
		b.Label = ""
	}
	if b.LabelY = b.Y - 5; b.LabelY < float64(v.PlotY)+12 { // no room above the bar
		b.LabelY = b.Y + 15
	}
	first, last := report.Seconds(places[0].from), report.Seconds(places[len(places)-1].to)
	b.Title = fmt.Sprintf("%s, %s to %s: %s", g.Leg, clockText(first), clockText(last), what)
	return b
}

// speech returns the stretches of speech. Adjacent stretches are merged.
func (a axis) speech(segments []store.SegmentRow) (list []stretch) {
	var all []stretchOf
	for _, g := range segments {
		places := placesOf(g, 0)
		for _, v := range g.Voiced {
			if g.Rate > 0 {
				at := func(n int64) time.Duration { return time.Duration(n) * time.Second / time.Duration(g.Rate) }
				all = append(all, inCall(places, at(v[0]), at(v[1]))...)
			}
		}
	}
	for _, s := range merged(all, a.duration/speechParts) {
		list = append(list, stretch{X: a.at(s.from), W: a.at(s.to - s.from)})
	}
	return list
}

// between returns the gaps between the recordings of a leg.
func (a axis) between(recorded []stretchOf) (list []stretch) {
	all := merged(recorded, time.Second)
	for i := 1; i < len(all); i++ {
		from, to := all[i-1].to, all[i].from
		list = append(
			list,
			stretch{
				X:     a.at(from),
				W:     a.at(to - from),
				Title: fmt.Sprintf("not recorded, %s to %s", clockText(report.Seconds(from)), clockText(report.Seconds(to))),
			},
		)
	}
	return list
}

type stretchOf struct{ from, to time.Duration }

// merged sorts stretches and joins those with a gap shorter than slack.
func merged(all []stretchOf, slack time.Duration) (list []stretchOf) {
	slices.SortFunc(all, func(a, b stretchOf) int { return cmp.Compare(a.from, b.from) })
	for _, s := range all {
		if last := len(list) - 1; last >= 0 && s.from-list[last].to <= slack {
			list[last].to = max(list[last].to, s.to)
			continue
		}
		list = append(list, s)
	}
	return list
}
