package backtest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Dimensions of the chart, in its own units. It has a light and a dark style, chosen by the reader's preference.
const (
	width, height            = 760.0, 440.0
	left, right, top, bottom = 60.0, 740.0, 96.0, 390.0
)

// style limits every rule to the chart, so that it does not affect the surrounding page.
const style = `
.backtest text { font: 13px system-ui, sans-serif; fill: #1f2328; stroke: #ffffff; stroke-width: 4; stroke-linejoin: round;
	paint-order: stroke }
.backtest .paper { fill: #ffffff }
.backtest .grid { stroke: #d1d9e0; stroke-width: 1 }
.backtest .axis, .backtest .mark { stroke: #59636e; stroke-width: 1.5 }
.backtest .mark { stroke-dasharray: 2 3 }
.backtest .line { fill: none; stroke-width: 2.25 }
.backtest .band { stroke: none; fill-opacity: .13 }
.backtest .line.recall { stroke: #1a7f37 }
.backtest .band.recall { fill: #1a7f37 }
.backtest .line.precision { stroke: #0550ae; stroke-dasharray: 9 4 }
.backtest .band.precision { fill: #0550ae }
.backtest .line.alarms { stroke: #bc4c00; stroke-dasharray: 3 3 }
.backtest .band.alarms { fill: #bc4c00 }
.backtest .line.share { stroke: #6e7781; stroke-width: 1.25 }
@media (prefers-color-scheme: dark) {
.backtest text { fill: #e6edf3; stroke: #0d1117 }
.backtest .paper { fill: #0d1117 }
.backtest .grid { stroke: #30363d }
.backtest .axis, .backtest .mark { stroke: #9198a1 }
.backtest .line.recall { stroke: #56d364 }
.backtest .band.recall { fill: #56d364 }
.backtest .line.precision { stroke: #79c0ff }
.backtest .band.precision { fill: #79c0ff }
.backtest .line.alarms { stroke: #ffa657 }
.backtest .band.alarms { fill: #ffa657 }
.backtest .line.share { stroke: #8b949e }
}
`

// series is one line of the chart. Lines differ in dashes as well as in colour.
type series struct {
	class, name string
	rate        func(Point) Rate
	band        bool
}

// WriteSVG draws precision, recall and false-alarm rate over the threshold, with their intervals, and marks the
// thresholds of both policies and of the target.
func WriteSVG(w io.Writer, r Result) error {
	lines := []series{
		{"recall", "recall", func(p Point) Rate { return p.Recall }, true},
		{"precision", "precision", func(p Point) Rate { return p.Precision }, true},
		{"alarms", "false-alarm rate", func(p Point) Rate { return p.FalseAlarmRate }, true},
		{"share", "share of all calls", func(p Point) Rate { return Rate{p.Flagged, r.Calls} }, false},
	}
	var b bytes.Buffer
	fmt.Fprintf(
		&b,
		`<svg xmlns="http://www.w3.org/2000/svg" class="backtest" viewBox="0 0 %g %g" role="img" `+
			`aria-labelledby="backtest-title backtest-desc">`+"\n",
		width,
		height,
	)
	fmt.Fprintf(
		&b,
		"<title id=\"backtest-title\">Effect of the new policy by threshold</title>\n<desc id=\"backtest-desc\">%s</desc>\n<style>%s</style>\n",
		describe(r),
		style,
	)
	fmt.Fprintf(&b, `<rect class="paper" width="%g" height="%g"/>`+"\n", width, height)
	axes(&b)
	for _, l := range lines {
		l.draw(&b, r.Curve)
	}
	legend(&b, lines)
	mark(&b, 0, r.Current.Threshold, "current")
	mark(&b, 1, r.New.Threshold, "proposed")
	if r.Target.Possible {
		mark(&b, 2, r.Target.Threshold, "for "+percent(r.Target.Rate)+" false alarms")
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// describe returns the text alternative of the chart.
func describe(r Result) string {
	side := func(name string, s Side) string {
		return fmt.Sprintf(
			"With the %s threshold %v: precision %v, recall %v, false-alarm rate %v.",
			name,
			s.Threshold,
			s.Precision,
			s.Recall,
			s.FalseAlarmRate,
		)
	}
	return fmt.Sprintf(
		"Precision, recall and false-alarm rate over thresholds from 0 to 1, with intervals of 95 %%, based on %d reviewed calls. %s %s %s",
		r.Dispositions.ConfirmedSynthetic+r.Dispositions.FalseAlarm,
		side("current", r.Current),
		side("proposed", r.New),
		strings.TrimSuffix(r.Target.String(), "."),
	)
}

func x(threshold float64) float64 { return left + (right-left)*threshold }
func y(share float64) float64     { return bottom - (bottom-top)*share }

func axes(b *bytes.Buffer) {
	for i := range 6 {
		at := float64(i) / 5
		fmt.Fprintf(
			b,
			`<path class="grid" d="M%g %gH%g"/><text x="%g" y="%g" text-anchor="end">%.0f %%</text>`+"\n",
			left,
			y(at),
			right,
			left-8,
			y(at)+4,
			100*at,
		)
		fmt.Fprintf(
			b,
			`<path class="axis" d="M%g %gv5"/><text x="%g" y="%g" text-anchor="middle">%.1f</text>`+"\n",
			x(at),
			bottom,
			x(at),
			bottom+20,
			at,
		)
	}
	fmt.Fprintf(
		b,
		`<path class="axis" d="M%g %gH%g"/><text x="%g" y="%g" text-anchor="middle">threshold</text>`+"\n",
		left,
		bottom,
		right,
		(left+right)/2,
		bottom+40,
	)
}

// draw draws a line as steps, each point valid until the next, with its intervals behind it.
func (l series) draw(b *bytes.Buffer, curve []Point) {
	var line, upper, lower []string
	flush := func() {
		if len(line) > 0 && l.band {
			for i := len(lower) - 1; i >= 0; i-- {
				upper = append(upper, lower[i])
			}
			fmt.Fprintf(b, `<path class="band %s" d="M%sZ"/>`+"\n", l.class, strings.Join(upper, "L"))
		}
		if len(line) > 0 {
			fmt.Fprintf(b, `<path class="line %s" d="M%s"/>`+"\n", l.class, strings.Join(line, "L"))
		}
		line, upper, lower = nil, nil, nil
	}
	for i, p := range curve {
		rate := l.rate(p)
		if !rate.Known() {
			flush()
			continue
		}
		from, to := x(p.Threshold), x(p.Threshold)
		if i+1 < len(curve) {
			to = x(curve[i+1].Threshold)
		}
		step := func(to []string, at, end, share float64) []string {
			return append(to, fmt.Sprintf("%.1f %.1f", at, y(share)), fmt.Sprintf("%.1f %.1f", end, y(share)))
		}
		low, high := rate.Interval()
		line, upper, lower = step(line, from, to, rate.Value()), step(upper, from, to, high), step(lower, from, to, low)
	}
	flush()
}

func legend(b *bytes.Buffer, lines []series) {
	at := left
	for _, l := range lines {
		fmt.Fprintf(b, `<path class="line %s" d="M%g 22h34"/><text x="%g" y="26">%s</text>`+"\n", l.class, at, at+42, l.name)
		at += 62 + 7.2*float64(len(l.name))
	}
}

// mark draws a threshold with its name in its own row, on the side with enough room.
func mark(b *bytes.Buffer, row int, threshold float64, name string) {
	at, anchor, shift := x(threshold), "start", 5.0
	if threshold > 0.6 {
		anchor, shift = "end", -5
	}
	from := 46 + 16*float64(row)
	fmt.Fprintf(
		b,
		`<path class="mark" d="M%.1f %gV%g"/><text x="%.1f" y="%g" text-anchor="%s">%s %v</text>`+"\n",
		at,
		from-8,
		bottom,
		at+shift,
		from+3,
		anchor,
		name,
		threshold,
	)
}
