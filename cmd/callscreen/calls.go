package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"callscreen/internal/config"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

type callsFlags struct {
	pastFlags
	format, what string
}

func newCalls(e env) *cobra.Command {
	var f callsFlags
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "Exports ended calls, their findings or their dispositions as a table",
		Long: `Writes past calls to standard output, oldest first. --what selects calls (one record per call), findings (one record per
segment, with its score) or dispositions (one record per review). Calls in progress are left out.

csv is a table with a header line (RFC 4180). A text that a spreadsheet would run as a formula, whichever separator it splits
the table by, gets a quote before the formula. Columns of the ledger are empty if the ledger of a leg is not known. jsonl is one
JSON object per line. The output contains personal data.`,
		Example: `  callscreen calls --format csv --from 2026-01-01 --to 2026-01-31 > january.csv
  callscreen calls --format jsonl --what findings > findings.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return writeCalls(cmd.Context(), e, f) },
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.format, "format", "csv", "csv or jsonl")
	cmd.Flags().StringVar(&f.what, "what", "calls", "calls, findings or dispositions")
	return cmd
}

func writeCalls(ctx context.Context, e env, f callsFlags) error {
	window, err := f.window()
	if err != nil {
		return err
	}
	if f.format != "csv" && f.format != "jsonl" {
		return usagef("--format: %q is not csv or jsonl", f.format)
	}
	tables := map[string]struct {
		read  store.Reading
		write func(out records, p *store.Past) error
	}{
		"calls":        {store.ReadCalls, writeCall},
		"findings":     {store.ReadAll, writeFindings},
		"dispositions": {store.ReadCalls, writeDisposition},
	}
	table, ok := tables[f.what]
	if !ok {
		return usagef("--what: %q is not calls, findings or dispositions", f.what)
	}
	window.Read = table.read
	return f.look(ctx, e, func(_ config.Config, s *store.Store) error {
		out := newRecords(e.stdout, f.format)
		for p, err := range s.History(ctx, window) {
			if err != nil {
				return err
			}
			if err := table.write(out, p); err != nil {
				return fmt.Errorf("write call %s: %w", p.ID, err)
			}
		}
		empty := &store.Past{Hearing: store.Hearing{Disposition: "none"}, Segments: make([]store.SegmentRow, 1)}
		var head headOnly
		if err := table.write(&head, empty); err != nil {
			return err
		}
		return out.flush(head.fields)
	})
}

// headOnly records the column names and writes no record.
type headOnly struct{ fields []field }

func (h *headOnly) write(record []field) error { h.fields = record; return nil }
func (h *headOnly) flush([]field) error        { return nil }

func writeCall(out records, p *store.Past) error {
	var r report.Report
	if len(p.Summary) > 0 {
		if err := json.Unmarshal(p.Summary, &r); err != nil {
			return err
		}
	}
	sums := ledgerSums(r)
	return out.write([]field{
		{"call", p.ID},
		{"started_at", at(p.StartedAt)},
		{"ended_at", at(p.EndedAt)},
		{"duration_seconds", report.Seconds(p.EndedAt.Sub(p.StartedAt))},
		{"decision", p.Decision},
		{"final", p.Final},
		{"review", p.Review},
		{"score", p.Score},
		{"threshold", r.Threshold},
		{"reasons", r.Reasons},
		{"speech_seconds", r.Speech},
		{"analysed_seconds", r.Analysed},
		{"lost_seconds", r.Lost},
		{"disposition", p.Hearing.Disposition},
		{"simulated", p.Simulated},
		{"policy_version", p.PolicyVersion},
		{"decided_at", at(p.DecidedAt)},
		{"metadata", p.Metadata},
		{"recorded_seconds", sums.recorded},
		{"unrecorded_seconds", sums.unrecorded},
		{"paused_seconds", sums.paused},
		{"unread_seconds", sums.unread},
		{"unheard", sums.unheard},
		{"number", max(p.Number, 1)},
	})
}

// sums are the times in the ledgers of a call. All are nil if the ledger of a leg is not known.
type sums struct {
	recorded, unrecorded, paused, unread *report.Seconds
	unheard                              map[string]report.Seconds // by reason
}

func ledgerSums(r report.Report) sums {
	var recorded report.Seconds
	unheard := map[string]report.Seconds{}
	for _, l := range r.Legs {
		if l.Ledger == nil {
			return sums{}
		}
		recorded += l.Recorded
		for reason, d := range l.Unheard {
			unheard[reason] += d
		}
	}
	if len(r.Legs) == 0 {
		return sums{}
	}
	return sums{
		recorded:   &recorded,
		unrecorded: &r.Unrecorded,
		paused:     &r.Paused,
		unread:     &r.Unread,
		unheard:    unheard,
	}
}

func writeFindings(out records, p *store.Past) error {
	for _, g := range p.Segments {
		// Offsets of a later recording count from its own start. The export counts from the start of the call.
		offset := g.Offset + time.UnixMilli(g.Part).Sub(p.StartedAt)
		if err := out.write([]field{
			{"call", p.ID},
			{"segment", g.ID},
			{"leg", g.Leg},
			{"seq", g.Seq},
			{"offset_seconds", report.Seconds(offset)},
			{"duration_seconds", report.Seconds(g.Duration)},
			{"speech_seconds", report.Seconds(g.Speech)},
			{"lost_seconds", report.Seconds(g.Lost)},
			{"state", g.State},
			{"score", g.Score},
			{"verdict", g.Verdict},
			{"reason", g.Reason},
			{"detail", g.Detail},
			{"job_id", g.JobID},
			{"cleaned", g.Cleaned},
			{"resent", g.Resent > 0},
			{"simulated", g.Simulated},
			{"recorded_at", at(g.RecordedAt)},
			{"submitted_at", at(g.SubmittedAt)},
			{"settled_at", at(g.SettledAt)},
			{"pieces", piecesOf(g, offset-g.Offset)},
		}); err != nil {
			return err
		}
	}
	return nil
}

// piecesOf returns the places of a packed segment in the call, nil for a contiguous segment.
func piecesOf(g store.SegmentRow, shift time.Duration) []report.Piece {
	pieces := slices.Clone(g.Pieces)
	for i := range pieces {
		pieces[i].Offset += report.Seconds(shift)
	}
	return pieces
}

func writeDisposition(out records, p *store.Past) error {
	h := p.Hearing
	if h.Disposition == "" {
		return nil
	}
	return out.write([]field{
		{"call", p.ID},
		{"started_at", at(p.StartedAt)},
		{"decision", p.Decision},
		{"score", p.Score},
		{"disposition", h.Disposition},
		{"note", h.Note},
		{"state", h.State},
		{"opened_at", at(h.OpenedAt)},
		{"closed_at", at(h.ClosedAt)},
		{"closed_by", h.ClosedBy},
		{"simulated", p.Simulated},
	})
}

// at returns a time for a record, or nil for the zero time.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
