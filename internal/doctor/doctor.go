// Package doctor checks everything that serve needs, and reports problems with hints.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"callscreen/internal/address"
	"callscreen/internal/config"
	"callscreen/internal/terminal"
)

// Level is the severity of a finding.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // calls are screened, but with a problem
	Error   Level = "error"   // calls are not screened
)

// Finding is the result of one check. Warnings and errors have a hint.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// World is the environment that the checks examine.
type World interface {
	// Reach contacts the API without a key and without audio. It returns the time of the API, or zero if unknown.
	Reach(ctx context.Context, baseURL string) (date time.Time, err error)
	// Submit submits a test tone for analysis, which may be charged.
	Submit(ctx context.Context, cfg config.Config) error
	// Database opens the database and writes to it. made is false if the database does not exist and serve creates it.
	Database(ctx context.Context, cfg config.Config) (made bool, err error)
	// Kept returns the data that should be gone and is not.
	Kept(ctx context.Context, cfg config.Config) (Kept, error)
	// Audio contacts the audio store.
	Audio(ctx context.Context, cfg config.Config) error
	// Free returns the free space on the disk of a directory, which need not exist.
	Free(dir string) (bytes int64, err error)
	// Sync durably writes and removes a file in the directory, or in the nearest existing parent.
	Sync(dir string) error
	// Bind binds a UDP port briefly.
	Bind(port int) error
	// ReceiveBuffer returns the largest receive buffer that the system permits, and the wanted size.
	ReceiveBuffer() (most, want int, err error)
	// Find looks for a program on PATH.
	Find(program string) error
	Now() time.Time
}

// patience limits one check.
const patience = 20 * time.Second

// Examine runs all checks in order. With submit it also submits a test tone.
func Examine(ctx context.Context, w World, cfg config.Config, submit bool) (all []Finding) {
	p := patient{World: w, cfg: cfg}
	for _, look := range []func(context.Context) []Finding{
		p.configuration,
		p.key,
		p.api,
		p.database,
		p.audio,
		p.retention,
		p.disk,
		p.port,
		p.buffer,
		p.ffmpeg,
	} {
		ctx, cancel := context.WithTimeout(ctx, patience)
		all = append(all, look(ctx)...)
		cancel()
	}
	if submit {
		all = append(all, p.job(ctx)...)
	}
	return all
}

// Misconfigured returns the findings for an invalid configuration. No other check can run then.
func Misconfigured(err error) (all []Finding) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []Finding{{"configuration", Error, address.Text(err.Error()), "callscreen config check"}}
	}
	for _, p := range problems {
		all = append(all, Finding{"configuration", Error, p.Path + ": " + p.Message, p.Hint})
	}
	return all
}

// Failed reports whether a finding is an error.
func Failed(all []Finding) bool {
	for _, f := range all {
		if f.Level == Error {
			return true
		}
	}
	return false
}

// Print writes one line for each finding.
func Print(w io.Writer, all []Finding) error {
	for _, f := range all {
		line := fmt.Sprintf("%-8s %-14s %s", f.Level, f.Check, f.Message)
		if f.Hint != "" {
			line += " (hint: " + f.Hint + ")"
		}
		if _, err := fmt.Fprintln(w, terminal.Line(line)); err != nil {
			return err
		}
	}
	return nil
}

// fault returns a finding for an error. A hint in its text replaces the given hint.
func fault(check string, level Level, err error, hint string) []Finding {
	text := strings.Join(strings.Fields(address.Text(err.Error())), " ")
	if before, own, ok := strings.Cut(text, " (hint: "); ok {
		text, hint = before, strings.TrimSuffix(own, ")")
	}
	return []Finding{{check, level, text, hint}}
}

func fine(check, format string, args ...any) []Finding {
	return []Finding{{Check: check, Level: OK, Message: fmt.Sprintf(format, args...)}}
}
