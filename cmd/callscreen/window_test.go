package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"callscreen/internal/backtest"
	"callscreen/internal/report"
	"callscreen/internal/screen/month"
	"callscreen/internal/store"
)

// pastMonth creates the data_dir of a sidecar with 3,000 calls of February 2026.
func pastMonth(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	month.Fill(t, s, 3000, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDaysAreWholeAndInstantsAreExact(t *testing.T) {
	for _, c := range []struct{ from, to, wantFrom, wantTo string }{
		{"", "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"2026-01-01", "2026-01-31", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
		{"2026-01-01", "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
		{"2026-01-01T08:00:00+01:00", "2026-01-01T08:30:00Z", "2026-01-01T07:00:00Z", "2026-01-01T08:30:00Z"},
	} {
		w, err := (&pastFlags{from: c.from, to: c.to}).window()
		if err != nil || w.From.UTC().Format(time.RFC3339) != c.wantFrom || w.To.UTC().Format(time.RFC3339) != c.wantTo {
			t.Errorf("%s to %s: %v to %v, %v", c.from, c.to, w.From, w.To, err)
		}
	}
}

// word is a string of another type.
type word string

func TestATableRunsNothingInASpreadsheet(t *testing.T) {
	score, at := 0.25, time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for _, c := range []struct {
		value any
		want  string
	}{
		{"=1+1", "'=1+1"},
		{"+491234", "'+491234"},
		{"-1", "'-1"},
		{"@SUM(A1)", "'@SUM(A1)"},
		{"\t=1", "'\t'=1"},
		{"\r=1", "'\r'=1"},
		{"\n=1", "'\n'=1"},
		{"  =1", "  '=1"},
		{"＝1", "'＝1"},
		{"call-1", "call-1"},
		{"", ""},
		{" ", " "},
		{"a=1", "a=1"},
		{"'", "'"},
		{"x;=1+1;y", "x;'=1+1;y"},
		{"x; =1", "x; '=1"},
		{`x;"=1+1"`, `x;"'=1+1"`},
		{"x|@SUM(A1)", "x|'@SUM(A1)"},
		{"x\t-1", "x\t'-1"},
		{"x\r\n+1", "x\r\n'+1"},
		{"x;＝1;-2", "x;'＝1;'-2"},
		{";=1", ";'=1"},
		{"=1;=2", "'=1;'=2"},
		{"a;b", "a;b"},
		{"x;'=1", "x;'=1"},
		{"x, =1", "x, '=1"},
		{"\u00a0=1", "'\u00a0=1"},
		{"\u3000＝1", "'\u3000＝1"},
		{"\ufeff=1", "'\ufeff=1"},
		{"\x01=1", "'\x01=1"},
		{"x\n\u2003@1", "x\n\u2003'@1"},
		{"﹦1", "'﹦1"},
		{word("=1"), "'=1"},
		{[]string{"=x", "y"}, "'=x y"},
		{map[string]string{"from": "=x"}, `{"from":"\u003dx"}`},
		{map[string]string{"from": "a;=1+1"}, `{"from":"a;\u003d1+1"}`},
		{map[string]string(nil), ""},
		{map[string]report.Seconds{"late": report.Seconds(time.Second)}, `{"late":1}`},
		{[]report.Piece(nil), ""},
		{(*report.Seconds)(nil), ""},
		{&score, "0.25"},
		{(*float64)(nil), ""},
		{&at, "2026-01-02T03:04:05.006Z"},
		{(*time.Time)(nil), ""},
		{report.Seconds(1500 * time.Millisecond), "1.5"},
		{nil, ""},
		{true, "true"},
		{7, "7"},
	} {
		if got := cell(c.value); got != c.want {
			t.Errorf("%#v: %q, want %q", c.value, got, c.want)
		}
	}
}

// Whichever separator a reader of the table uses, and whether or not it heeds quotation marks, no cell starts a formula.
func TestNoSeparatorMakesAFormula(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"=", "+", "-", "@", "＝", ";", ",", "|", "\t", "\n", "\r", `"`, " ", ":", "x", "1"}
	named := regexp.MustCompile(`^"*([=@＝]|[+-]x)`)
	for range 20_000 {
		text := ""
		for range 1 + r.IntN(8) {
			text += pieces[r.IntN(len(pieces))]
		}
		var b bytes.Buffer
		out := newRecords(&b, "csv")
		record := []field{{"call", "c"}, {"note", text}, {"metadata", map[string]string{"k": text}}, {"list", []string{"a", text}}}
		if err := errors.Join(out.write(record), out.flush(nil)); err != nil {
			t.Fatal(err)
		}
		for _, separator := range []string{",", ";", "|", "\t"} {
			for line := range strings.Lines(strings.ReplaceAll(b.String(), "\r", "\n")) {
				for i, c := range strings.Split(line, separator) {
					if start := strings.TrimLeft(c, ` "`); start != "" && strings.ContainsAny(start[:1], "=+-@") || strings.HasPrefix(start, "＝") {
						t.Fatalf("%q: cell %d of %q is %q", text, i, line, c)
					}
				}
			}
		}
		for _, c := range strings.FieldsFunc(b.String(), func(r rune) bool { return strings.ContainsRune(" :\r\n", r) }) {
			if named.MatchString(c) {
				t.Fatalf("%q: a cell between spaces or colons is %q", text, c)
			}
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range rows[1] {
			if start := strings.TrimLeft(c, " "); start != "" && strings.ContainsAny(start[:1], "=+-@\t\r\n") {
				t.Fatalf("%q: a cell is %q", text, c)
			}
		}
		var back map[string]string
		if err := json.Unmarshal([]byte(rows[1][2]), &back); err != nil || back["k"] != text {
			t.Fatalf("%q: metadata is %q, %v", text, rows[1][2], err)
		}
	}
}

func TestRecordsKeepTheirOrderAndTheirTexts(t *testing.T) {
	text := "a \"quote\", a comma,\na line and ü"
	record := []field{{"z", text}, {"a", 1}, {"list", []string{"x", "y"}}}
	var b bytes.Buffer
	out := newRecords(&b, "csv")
	for range 2 {
		if err := out.write(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.flush(nil); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(rows) != 3 || strings.Join(rows[0], " ") != "z a list" || rows[2][0] != text || rows[2][2] != "x y" ||
		!strings.HasSuffix(b.String(), "\r\n") {
		t.Errorf("%q %v", b.String(), err)
	}
	b.Reset()
	out = newRecords(&b, "jsonl")
	if err := out.write(record); err != nil {
		t.Fatal(err)
	}
	if err := out.flush(nil); err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["z"] != text || !strings.HasPrefix(b.String(), `{"z":`) ||
		!strings.HasSuffix(b.String(), "}\n") ||
		strings.Count(b.String(), "\n") != 1 {
		t.Errorf("%q %v", b.String(), err)
	}
	b.Reset()
	if err := newRecords(&b, "csv").flush(record); err != nil || b.String() != "z,a,list\r\n" {
		t.Errorf("an empty table: %q %v", b.String(), err)
	}
}

// Every table that a spreadsheet opens is written by code that this test names, and their cells are neutralised or numbers.
func TestAllWritersOfTablesAreKnown(t *testing.T) {
	var writers []string
	if err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("csv.NewWriter(")) || bytes.Contains(text, []byte("text/csv")) {
			writers = append(writers, filepath.Base(path))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(writers)
	if want := []string{"csv.go", "records.go"}; !slices.Equal(writers, want) {
		t.Errorf("tables are written by %v, want %v", writers, want)
	}
	var b bytes.Buffer
	result := backtest.Result{Curve: []backtest.Point{{Threshold: 0.5, Flagged: 2, Precision: backtest.Rate{Count: 1, Of: 2}}}}
	if err := backtest.WriteCSV(&b, result); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	for _, c := range rows[1] {
		if n, err := strconv.ParseFloat(c, 64); c != "" && (err != nil || n < 0) {
			t.Errorf("%q is not a number from 0 up", c)
		}
	}
}
