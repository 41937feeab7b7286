package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"callscreen/internal/backtest"
	"callscreen/internal/config"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/terminal"
)

type backtestFlags struct {
	pastFlags
	policy    string
	json, csv bool
	svg       string
	rate      float64
	show      int
	skip      bool
}

func newBacktest(e env) *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest --policy FILE",
		Short: "Applies another policy to the stored scores of past calls",
		Long: `Applies another policy to the stored scores of past calls. Nothing is submitted and nothing is changed. The report compares
three decisions of each call: the stored one, that of the current policy (from the configuration) and that of the new
policy. Both policies are evaluated against the dispositions of reviewed calls.

FILE holds the keys of the section policy of the configuration (see callscreen config describe), without the line policy:

  threshold: 0.7
  need: 2

Missing keys have their defaults.`,
		Example: `  callscreen backtest --policy new.yaml --from 2026-01-01 --to 2026-01-31
  callscreen backtest --policy new.yaml --svg curve.svg --csv > curve.csv
  callscreen backtest --policy new.yaml --false-alarm-rate 0.02 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBacktest(cmd, e, f) },
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.policy, "policy", "", "policy to evaluate, a YAML file")
	flags.BoolVar(&f.json, "json", false, "print everything as a JSON object")
	flags.BoolVar(&f.csv, "csv", false, "print the curve over thresholds as CSV")
	flags.StringVar(&f.svg, "svg", "", "draw the curve over thresholds into this file")
	flags.Float64Var(&f.rate, "false-alarm-rate", 0.01, "find the threshold with at most this share of false alarms")
	flags.IntVar(&f.show, "show", 20, "maximum number of changed calls to list")
	flags.BoolVar(&f.skip, "skip-simulated", false, "leave out calls that were analysed by the simulator")
	return cmd
}

func runBacktest(cmd *cobra.Command, e env, f backtestFlags) error {
	window, err := f.window()
	switch {
	case err != nil:
		return err
	case f.policy == "":
		return usagef("backtest needs --policy FILE (hint: callscreen backtest --help)")
	case f.json && f.csv:
		return usagef("--json and --csv exclude each other (hint: the curve is part of --json)")
	case !(f.rate > 0 && f.rate < 1):
		return usagef("--false-alarm-rate: is %v, must be between 0 and 1, such as 0.01", f.rate)
	case f.show < 0:
		return usagef("--show: is %d, must not be negative", f.show)
	}
	proposed, err := config.LoadPolicy(f.policy)
	if err != nil {
		return err
	}
	window.Readers = 2
	return f.look(cmd.Context(), e, func(cfg config.Config, s *store.Store) error {
		r, err := screen.Backtest(cmd.Context(), s, window, backtest.Options{
			Current:        cfg.Policy,
			New:            proposed,
			FalseAlarmRate: f.rate,
			Show:           f.show,
			SkipSimulated:  f.skip,
		})
		if err != nil {
			return err
		}
		if f.svg != "" {
			var b bytes.Buffer
			if err := backtest.WriteSVG(&b, r); err != nil {
				return err
			}
			if err := os.WriteFile(f.svg, b.Bytes(), 0o644); err != nil {
				return fmt.Errorf("--svg: %w", err)
			}
		}
		switch {
		case f.json:
			return json.NewEncoder(terminal.Writer(e.stdout)).Encode(r)
		case f.csv:
			return backtest.WriteCSV(e.stdout, r)
		}
		return printBacktest(e.stdout, f.policy, r)
	})
}

// printBacktest writes the result as text.
func printBacktest(w io.Writer, file string, r backtest.Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s over %s and %s\n", terminal.Line(file), count(r.Calls, "call"), count(r.Findings, "finding"))
	if r.Calls > 0 {
		printOutcomes(&b, r)
		printChanges(&b, r)
		printQuality(&b, r)
		fmt.Fprintf(&b, "\n%s\n", terminal.Line(fmt.Sprint(r.Target)))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s\n", terminal.Line(n))
	}
	var trimmed strings.Builder
	for line := range strings.Lines(b.String()) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n") // tabwriter pads the last column
	}
	_, err := io.WriteString(w, trimmed.String())
	return err
}

func printOutcomes(b *strings.Builder, r backtest.Result) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tthreshold\tflagged\tinconclusive\tclear\tfor review\t")
	for _, row := range []struct {
		name, threshold string
		o               backtest.Outcomes
	}{
		{"stored decision", "", r.Decided},
		{"current policy", fmt.Sprint(r.Current.Threshold), r.Current.Outcomes},
		{"new policy", fmt.Sprint(r.New.Threshold), r.New.Outcomes},
	} {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t\n", row.name, row.threshold, row.o.Flagged, row.o.Inconclusive, row.o.Clear, row.o.Review)
	}
	_ = t.Flush() // writing to a strings.Builder cannot fail
}

func printChanges(b *strings.Builder, r backtest.Result) {
	fmt.Fprintf(
		b,
		"\n%s would change from the stored decision, %s from the current policy\n",
		count(r.Changed, "call"),
		count(r.ChangedFromCurrent, "call"),
	)
	for _, t := range r.Transitions {
		fmt.Fprintf(b, "  %s -> %s: %d\n", terminal.Line(t.From), terminal.Line(t.To), t.Calls)
	}
	if len(r.Changes) == 0 {
		return
	}
	fmt.Fprintf(b, "the first %d of %d:\n", len(r.Changes), r.Changed)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, c := range r.Changes {
		remark := c.Disposition
		if c.Current != c.From {
			remark = strings.TrimPrefix(remark+", ", ", ") + "current policy: " + c.Current
		}
		fmt.Fprintf(t, "  %s\t%s -> %s\t%s\n", terminal.Line(c.Call), terminal.Line(c.From), terminal.Line(c.To), terminal.Line(remark))
	}
	_ = t.Flush()
}

func printQuality(b *strings.Builder, r backtest.Result) {
	d := r.Dispositions
	fmt.Fprintf(
		b,
		"\nby %d confirmed_synthetic and %d false_alarm (%d unsure are ignored), with 95 %% confidence intervals\n",
		d.ConfirmedSynthetic,
		d.FalseAlarm,
		d.Unsure,
	)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tprecision\trecall\tfalse-alarm rate")
	for _, row := range []struct {
		name string
		s    backtest.Side
	}{{"current policy", r.Current}, {"new policy", r.New}} {
		fmt.Fprintf(t, "%s\t%v\t%v\t%v\n", row.name, row.s.Precision, row.s.Recall, row.s.FalseAlarmRate)
	}
	_ = t.Flush()
	fmt.Fprintf(b, "against the current policy: %d confirmed lost, %d gained; %d false alarms avoided, %d added\n",
		r.Reviewed.ConfirmedLost, r.Reviewed.ConfirmedGained, r.Reviewed.FalseAlarmsAvoided, r.Reviewed.FalseAlarmsAdded)
}

func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
