package backtest_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"callscreen/internal/backtest"
	"callscreen/policy"
)

func TestTheChartIsXMLThatCanBeReadByAll(t *testing.T) {
	for name, calls := range map[string][]backtest.Call{"none": nil, "some": random(1, 500)} {
		t.Run(name, func(t *testing.T) {
			r := run(t, backtest.Options{Current: policy.Default(), New: with(0.75), FalseAlarmRate: 0.1}, calls...)
			var b bytes.Buffer
			if err := backtest.WriteSVG(&b, r); err != nil {
				t.Fatal(err)
			}
			texts, d := "", xml.NewDecoder(bytes.NewReader(b.Bytes()))
			for {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if text, ok := token.(xml.CharData); ok {
					texts += string(text) + "\n"
				}
			}
			svg := b.String()
			for _, want := range []string{
				`role="img"`,
				`aria-labelledby="backtest-title backtest-desc"`,
				`<title id="backtest-title">`,
				`<desc id="backtest-desc">`,
				"prefers-color-scheme: dark",
				"viewBox=",
			} {
				if !strings.Contains(svg, want) {
					t.Errorf("no %s", want)
				}
			}
			for _, want := range []string{
				"threshold",
				"precision",
				"recall",
				"false-alarm rate",
				"current 0.6",
				"proposed 0.75",
				"100 %",
				"With the proposed threshold 0.75: precision",
			} {
				if !strings.Contains(texts, want) {
					t.Errorf("no %q in\n%s", want, texts)
				}
			}
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, "<script") ||
				strings.Contains(strings.ReplaceAll(svg, "http://www.w3.org/2000/svg", ""), "http") {
				t.Error("it holds what no chart should")
			}
			for _, n := range regexp.MustCompile(`[ML](-?[0-9.]+) (-?[0-9.]+)`).FindAllStringSubmatch(svg, -1) {
				x, _ := strconv.ParseFloat(n[1], 64)
				y, _ := strconv.ParseFloat(n[2], 64)
				if x < 0 || x > 760 || y < 0 || y > 440 {
					t.Errorf("%v is off the paper", n)
				}
			}
		})
	}
}

func TestTheTableHoldsTheCurve(t *testing.T) {
	r := run(
		t,
		backtest.Options{Current: policy.Default(), New: policy.Default()},
		call("a", 0.9, "flagged", "confirmed_synthetic"),
		call("b", 0.7, "flagged", "false_alarm"),
	)
	var b bytes.Buffer
	if err := backtest.WriteCSV(&b, r); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
	if err != nil || len(rows) != len(r.Curve)+1 {
		t.Fatal(len(rows), err)
	}
	for _, row := range rows {
		switch row[0] {
		case "0.65":
			if got := strings.Join(row, ","); !strings.HasPrefix(got, "0.65,2,0.5,0.0945") ||
				!strings.HasSuffix(got, ",1,2,1,0.20654931437723745,1,1,1,1,0.20654931437723745,1,1,1") {
				t.Error(got)
			}
		case "0.9":
			if got := strings.Join(row, ","); got != "0.9,0,,,,0,0,0,0,0.7934506856227626,0,1,0,0,0.7934506856227626,0,1" {
				t.Error(got)
			}
		}
	}
	if !strings.HasSuffix(b.String(), "\r\n") || strings.Count(b.String(), "\n") != strings.Count(b.String(), "\r\n") {
		t.Error("lines do not end as RFC 4180 has it")
	}
}
