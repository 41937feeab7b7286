package review

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"callscreen/internal/report"
)

// ledgerView is the ledger of a call: a row for each leg, and the places of what is missing.
type ledgerView struct {
	Rows    []ledgerRow
	Gaps    []gap
	More    int  // gaps that are not listed
	Unknown bool // at least one leg has no ledger
}

// ledgerRow accounts for one leg. Each amount has its reasons in words, or "".
type ledgerRow struct {
	Leg                                        string
	Known                                      bool
	Recorded, Lost, Unrecorded, Paused, Unread report.Seconds
	WhyUnrecorded, WhyPaused, WhyUnread        string
	Interrupted                                bool
	Sums                                       string // packets or bytes
}

// mostGaps is the maximum number of gaps on a page.
const mostGaps = 200

func newLedgerView(r report.CallReport) (v ledgerView) {
	for _, l := range r.Legs {
		row := ledgerRow{
			Leg:        l.Leg,
			Recorded:   l.Recorded,
			Lost:       l.Lost,
			Unrecorded: l.Unrecorded,
			Paused:     l.Paused,
			Unread:     l.Unread,
		}
		if ledger := l.Ledger; ledger != nil {
			row.Known, row.Interrupted = true, ledger.Interrupted
			row.WhyUnrecorded, row.WhyUnread = reasonsText(ledger.Unrecorded), reasonsText(ledger.Unread)
			row.WhyPaused, row.Sums = pausedBy(ledger.Pauses), sumsText(ledger)
		}
		v.Unknown = v.Unknown || !row.Known
		v.Rows = append(v.Rows, row)
		v.Gaps = append(v.Gaps, gapsOf(l)...)
	}
	slices.SortStableFunc(v.Gaps, func(a, b gap) int { return cmp.Compare(a.From, b.From) })
	if v.More = max(len(v.Gaps)-mostGaps, 0); v.More > 0 {
		v.Gaps = v.Gaps[:mostGaps]
	}
	return v
}

// reasonsText returns durations by reason, the longest first.
func reasonsText(m map[string]report.Seconds) string {
	reasons := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	if len(reasons) == 1 {
		return inWords(reasons[0])
	}
	list := make([]string, 0, len(reasons))
	for _, r := range reasons {
		list = append(list, secondsText(m[r])+" "+inWords(r))
	}
	return strings.Join(list, "; ")
}

// pausedBy names those who paused a leg.
func pausedBy(pauses []report.Pause) string {
	var names []string
	for _, p := range pauses {
		if p.By != "" && !slices.Contains(names, p.By) {
			names = append(names, p.By)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "by " + strings.Join(names, ", ")
}

// sumsText returns the sum of the packets of a live leg, or of the bytes of a file.
func sumsText(l *report.Ledger) string {
	switch {
	case l.Packets != nil:
		p := l.Packets
		return fmt.Sprintf("%d packets sent", p.Sent) + parts(
			amount{p.Recorded, "recorded"}, amount{p.Lost, "lost"}, amount{p.Paused, "paused"},
			amount{p.Duplicate, "duplicates"}, unheard(p.Unrecorded, "not recorded"),
		)
	case l.Bytes != nil:
		b := l.Bytes
		return fmt.Sprintf("%d bytes in the file", b.Size) + parts(
			amount{b.Read, "read"}, amount{b.Damaged, "damaged"}, unheard(b.Unread, "not read"),
		)
	}
	return ""
}

type amount struct {
	n     int64
	words string
}

// unheard returns the sum of counts, with the single ones in brackets.
func unheard(counts map[string]int64, words string) amount {
	sum, list := int64(0), []string(nil)
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		sum += counts[reason]
		list = append(list, fmt.Sprintf("%d %s", counts[reason], inWords(reason)))
	}
	return amount{sum, words + " (" + strings.Join(list, "; ") + ")"}
}

// parts returns the amounts that are not 0 as a sum.
func parts(amounts ...amount) string {
	var list []string
	for _, a := range amounts {
		if a.n != 0 {
			list = append(list, fmt.Sprintf("%d %s", a.n, a.words))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return " = " + strings.Join(list, " + ")
}
