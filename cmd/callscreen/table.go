package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/terminal"
)

// printTable writes one call as text.
func printTable(w io.Writer, r report.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", terminal.Line(r.File), strings.ToUpper(r.Decision))
	switch {
	case r.Score == nil:
	case *r.Score > r.Threshold:
		fmt.Fprintf(&b, ", score %.2f exceeds %.2f", *r.Score, r.Threshold)
	default:
		fmt.Fprintf(&b, ", highest score %.2f does not exceed %.2f", *r.Score, r.Threshold)
	}
	fmt.Fprintf(&b, ", analysed %s of %s of speech in %s", seconds(r.Analysed), seconds(r.Speech), clock(r.Duration))
	if r.Lost > 0 {
		fmt.Fprintf(&b, ", %s lost", seconds(r.Lost))
	}
	fmt.Fprintf(&b, " [%s]\n", terminal.Line(strings.Join(r.Reasons, ", ")))
	if r.Simulated {
		b.WriteString("  simulated: the stand-in detects nothing, its scores mean nothing\n")
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", terminal.Line(warning))
	}
	for _, l := range r.Legs {
		if missing := missingOf(l); missing != "" {
			fmt.Fprintf(&b, "  %s: %s\n", terminal.Line(l.Leg), terminal.Line(missing))
		}
	}
	if len(r.Segments) > 0 {
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  leg\tat\tlength\tspeech\tscore\t")
		for _, s := range r.Segments {
			fmt.Fprintf(
				t,
				"  %s\t%s\t%s\t%s\t%s\t%s\n",
				terminal.Line(s.Leg),
				clock(s.Offset),
				seconds(s.Duration),
				seconds(s.Speech),
				score(s),
				terminal.Line(remark(s, r)),
			)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// missingOf lists the audio of a leg that was not heard, with the reasons. It is "" if there is none.
func missingOf(l report.LegReport) string {
	var list []string
	add := func(d report.Seconds, words string) {
		if d > 0 {
			list = append(list, seconds(d)+" "+words)
		}
	}
	var unrecorded, unread map[string]report.Seconds
	if l.Ledger != nil {
		unrecorded, unread = l.Ledger.Unrecorded, maps.Clone(l.Ledger.Unread)
	}
	damaged := unread[report.Damaged]
	delete(unread, report.Damaged)
	add(l.Unrecorded, "not recorded"+reasonsOf(unrecorded))
	add(l.Unread-damaged, "not read"+reasonsOf(unread))
	add(damaged, "damaged")
	add(l.Paused, "paused")
	return strings.Join(list, ", ")
}

// reasonsOf returns the reasons in brackets, each with its duration if there are several.
func reasonsOf(m map[string]report.Seconds) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(m)) {
		if d := m[reason]; d > 0 && len(m) > 1 {
			reason += " " + seconds(d)
		}
		list = append(list, reason)
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func score(s report.SegmentReport) string {
	if s.Score == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *s.Score)
}

// remark returns the notes on a segment besides its score.
func remark(s report.SegmentReport, r report.Report) string {
	var notes []string
	switch s.State {
	case report.StateScored:
		for _, l := range r.Legs {
			if l.Leg == s.Leg && *s.Score > l.Threshold {
				notes = append(notes, "OVER")
			}
		}
		if s.Cleaned {
			notes = append(notes, "cleaned")
		}
	default:
		notes = append(notes, s.State)
		if s.Reason != "" {
			notes[0] += ": " + s.Reason
		}
		if s.Detail != "" {
			notes = append(notes, s.Detail)
		}
	}
	if len(s.Pieces) > 0 {
		places := make([]string, 0, len(s.Pieces))
		for _, p := range s.Pieces {
			places = append(places, clock(p.Offset))
		}
		notes = append(notes, fmt.Sprintf("packed from %s", strings.Join(places, " ")))
	}
	return strings.Join(notes, ", ")
}

// clock formats a position as 1:02.3, or with hours as 1:02:03.4.
func clock(s report.Seconds) string {
	d := time.Duration(s).Round(100 * time.Millisecond)
	h, m, sec := int(d.Hours()), int(d.Minutes())%60, (d % time.Minute).Seconds()
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%04.1f", h, m, sec)
	}
	return fmt.Sprintf("%d:%04.1f", m, sec)
}

func seconds(s report.Seconds) string {
	return fmt.Sprintf("%.1f s", time.Duration(s).Seconds())
}
