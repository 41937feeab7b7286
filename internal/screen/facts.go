package screen

import (
	"maps"
	"slices"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// Facts returns what a stored call is decided by, and the number of its segments that are not settled. legs and segments are
// those of its last number. While the call goes on, segments without a result are left out. Every decision about a stored
// call, also a backtest, must use this function.
func Facts(c *store.Call, legs []store.LegProgress, segments []store.SegmentRow, ended bool) (report.Facts, int) {
	findings, open := Findings(segments, ended)
	f := report.Facts{Findings: findings, Legs: map[string]report.LegAccount{}}
	for _, l := range legs {
		account := report.LegAccount{Duration: l.Duration, Lost: l.Lost, Ledger: l.Ledger}
		shift := time.UnixMilli(l.Part).Sub(c.StartedAt)
		if before, ok := f.Legs[l.Leg]; ok {
			account = before.Add(account, shift)
		} else {
			account = account.Shift(shift)
		}
		f.Legs[l.Leg] = account
	}
	interrupt(f.Legs, legs)
	for _, g := range segments {
		if _, ok := f.Legs[g.Leg]; !ok {
			f.Legs[g.Leg] = report.LegAccount{}
		}
	}
	f.Metadata, f.LegMetadata = alternatives(c.Metadata, legs)
	return f, open
}

// interrupt marks the legs whose connection broke in one part and that sent nothing afterwards. Parts of two nodes overlap, so
// the part that began last need not be the one that ended last.
func interrupt(accounts map[string]report.LegAccount, legs []store.LegProgress) {
	end := func(l store.LegProgress) time.Time { return time.UnixMilli(l.Part).Add(l.Duration) }
	for name, a := range accounts {
		if a.Ledger == nil {
			continue
		}
		var last, broken time.Time // the end of what arrived, and of what broke off
		for _, l := range legs {
			switch at := end(l); {
			case l.Leg != name || l.Ledger == nil:
			case l.Ledger.Interrupted && at.After(broken):
				broken = at
			case !l.Ledger.Interrupted && l.Ledger.Recorded > 0 && at.After(last):
				last = at
			}
		}
		if interrupted := broken.After(last); interrupted != a.Ledger.Interrupted {
			a.Ledger = a.Ledger.Clone()
			a.Ledger.Interrupted = interrupted
			accounts[name] = a
		}
	}
}

// alternatives returns the metadata that may hold for the call, and for the legs of bound senders. The metadata
// of a bound sender holds for its own leg only. If the other senders disagree, each of their metadata may be correct.
func alternatives(call map[string]string, legs []store.LegProgress) (all []map[string]string, of map[string][]map[string]string) {
	var words []map[string]string
	add := func(list []map[string]string, m map[string]string) []map[string]string {
		if slices.ContainsFunc(list, func(o map[string]string) bool { return maps.Equal(o, m) }) {
			return list
		}
		return append(list, m)
	}
	known := len(legs) > 0
	for _, l := range legs {
		known = known && l.Metadata != nil
		for _, m := range l.Metadata {
			if !l.Bound {
				words = add(words, m)
			}
		}
	}
	if !known { // recorded by an earlier version
		return []map[string]string{call}, nil
	}
	for _, m := range words {
		all = add(all, overlaid(words, m))
	}
	if len(all) == 0 {
		all = []map[string]string{{}}
	}
	for _, l := range legs {
		if !l.Bound {
			continue
		}
		if of == nil {
			of = map[string][]map[string]string{}
		}
		own := slices.Clone(all)
		for _, m := range l.Metadata {
			own = add(own, overlaid(append(slices.Clone(words), m), m))
		}
		of[l.Leg] = own
	}
	return all, of
}

// overlaid returns all values of a list, of which those of one map win.
func overlaid(list []map[string]string, winner map[string]string) map[string]string {
	m := map[string]string{}
	for _, other := range list {
		for k, v := range other {
			if _, ok := m[k]; !ok {
				m[k] = v
			}
		}
	}
	maps.Copy(m, winner)
	return m
}

// ofNumber returns the legs of the parts of a number, and the segments of those parts.
func ofNumber(number int, parts []store.Part, segments []store.SegmentRow) (legs []store.LegProgress, own []store.SegmentRow) {
	in := map[store.PartKey]bool{}
	all := true
	for _, p := range parts {
		if p.Number == number {
			in[p.PartKey] = true
			legs = append(legs, p.Legs...)
		} else {
			all = false
		}
	}
	if all {
		return legs, segments
	}
	for _, g := range segments {
		if in[g.PartKey] {
			own = append(own, g)
		}
	}
	return legs, own
}
