package backtest

import (
	"encoding/csv"
	"io"
	"strconv"
)

// WriteCSV writes the curve with a header line (RFC 4180). Unknown values are empty.
func WriteCSV(w io.Writer, r Result) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	head := []string{"threshold", "flagged"}
	for _, name := range []string{"precision", "recall", "false_alarm_rate"} {
		head = append(head, name, name+"_low", name+"_high", name+"_count", name+"_of")
	}
	if err := out.Write(head); err != nil {
		return err
	}
	for _, p := range r.Curve {
		row := []string{decimal(p.Threshold), strconv.Itoa(p.Flagged)}
		for _, rate := range []Rate{p.Precision, p.Recall, p.FalseAlarmRate} {
			cells := []string{"", "", ""}
			if rate.Known() {
				low, high := rate.Interval()
				cells = []string{decimal(rate.Value()), decimal(low), decimal(high)}
			}
			row = append(append(row, cells...), strconv.Itoa(rate.Count), strconv.Itoa(rate.Of))
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
