package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"callscreen/internal/report"
)

// field is one named value of a record.
type field struct {
	name  string
	value any
}

// records writes records that all have the same fields.
type records interface {
	write(record []field) error
	// flush ends the output. An empty table gets its header from fields.
	flush(fields []field) error
}

func newRecords(w io.Writer, format string) records {
	if format == "csv" {
		c := csv.NewWriter(w)
		c.UseCRLF = true
		return &csvRecords{out: c}
	}
	return &jsonRecords{out: bufio.NewWriterSize(w, 64<<10)}
}

// jsonRecords writes JSON Lines: one object per record, with its keys in order.
type jsonRecords struct{ out *bufio.Writer }

func (j *jsonRecords) write(record []field) error {
	separator := byte('{')
	for _, f := range record {
		value, err := json.Marshal(f.value)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		_ = j.out.WriteByte(separator) // bufio keeps the error until the next flush
		_, _ = j.out.WriteString(strconv.Quote(f.name))
		_ = j.out.WriteByte(':')
		_, _ = j.out.Write(value)
		separator = ','
	}
	_, err := j.out.WriteString("}\n")
	return err
}

func (j *jsonRecords) flush([]field) error { return j.out.Flush() }

// csvRecords writes a table with a header line (RFC 4180).
type csvRecords struct {
	out   *csv.Writer
	begun bool
}

func (c *csvRecords) head(record []field) error {
	c.begun = true
	names := make([]string, len(record))
	for i, f := range record {
		names[i] = f.name
	}
	return c.out.Write(names)
}

func (c *csvRecords) write(record []field) error {
	if !c.begun {
		if err := c.head(record); err != nil {
			return err
		}
	}
	cells := make([]string, len(record))
	for i, f := range record {
		cells[i] = cell(f.value)
	}
	return c.out.Write(cells)
}

func (c *csvRecords) flush(fields []field) error {
	if !c.begun {
		if err := c.head(fields); err != nil {
			return err
		}
	}
	c.out.Flush()
	return c.out.Error()
}

// cell formats a value for a spreadsheet. nil is empty, and a list or map is one JSON text.
func cell(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return harmless(v)
	case []string:
		return harmless(strings.Join(v, " "))
	case *float64:
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'f', -1, 64)
	case *time.Time:
		if v == nil {
			return ""
		}
		return v.Format(rfc3339Milli)
	case map[string]string, map[string]report.Seconds, []report.Piece:
		if reflect.ValueOf(v).IsNil() {
			return ""
		}
		data, _ := json.Marshal(v) // plain data always encodes
		return guarded(string(data), escaped)
	case *report.Seconds:
		if v == nil {
			return ""
		}
		return cell(*v)
	case report.Seconds:
		return strconv.FormatFloat(time.Duration(v.Round()).Seconds(), 'f', -1, 64)
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.String {
		return harmless(v.String())
	}
	return fmt.Sprint(value)
}

const rfc3339Milli = "2006-01-02T15:04:05.000Z07:00"

// formula are the characters that start a formula.
const formula = "=+\\-@＝＋－＠﹦﹢﹣﹫"

// gap is a character that a spreadsheet may strip: a space of any width, or one of no width.
const gap = `[\p{Z}\p{Cf}\x00-\x08\v\f\x0e-\x1f]`

var (
	// outer finds the start of a formula at the start of a cell, behind any space, control characters included.
	outer = regexp.MustCompile(`^(?:` + gap + `|")*[\t\r\n` + formula + `]`)
	// inner finds the start of a formula where a reader that splits the table by another separator starts a cell. Such a reader
	// does not take a quotation mark within a line for the start of a quoted cell.
	inner = regexp.MustCompile(`([;,|\t\r\n](?:` + gap + `|")*)([` + formula + `])`)
	// spaced does so for a reader that splits by spaces or colons. Signs stand there in plain texts: they start a formula with a name.
	// A carriage return does not reach the table.
	spaced = regexp.MustCompile(`([ :]["\r]*)([=@＝＠﹦﹫]|[+\-＋－﹢﹣]\r*[\p{L}(])`)
)

// guarded replaces the signs that start a formula within a text.
func guarded(s string, safe func(sign string) string) string {
	for _, start := range []*regexp.Regexp{inner, spaced} {
		s = start.ReplaceAllStringFunc(s, func(m string) string {
			part := start.FindStringSubmatch(m)
			return part[1] + safe(part[2])
		})
	}
	return s
}

// harmless puts a quote before a text that a spreadsheet would run as a formula. Texts of callers and analysts must not
// be executed when the table is opened, whichever separator the spreadsheet expects.
func harmless(s string) string {
	s = guarded(s, func(sign string) string { return "'" + sign })
	if outer.MatchString(s) {
		return "'" + s
	}
	return s
}

// escaped replaces the first character within a JSON text by its escape sequence, which leaves the value as it is.
func escaped(sign string) string {
	r, n := utf8.DecodeRuneInString(sign)
	return fmt.Sprintf(`\u%04x`, r) + sign[n:]
}
