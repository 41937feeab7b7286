// Package doctor looks at everything that serve needs, and says what is wrong with it and what to do.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"callscreen/internal/config"
)

// Level is how bad something is.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // calls are screened, but something is not as it should be
	Error   Level = "error"   // calls are not screened
)

// Finding is what one look came to. Warnings and errors have a hint.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// World is what the doctor looks at.
type World interface {
	// Reach asks the API for anything at all, without a key and without audio, and returns its time, zero if it tells none.
	Reach(ctx context.Context, baseURL string) (date time.Time, err error)
	// Submit has a test tone analysed, which may be paid for.
	Submit(ctx context.Context, cfg config.Config) error
	// Database opens the database and writes to it; made is false if there is none yet and serve makes it.
	Database(ctx context.Context, cfg config.Config) (made bool, err error)
	// Audio reaches for the audio store.
	Audio(ctx context.Context, cfg config.Config) error
	// Free is the space on the disk of a folder that need not exist yet.
	Free(dir string) (bytes int64, err error)
	// Sync writes a file into such a folder, or where it is to be, for good, and removes it.
	Sync(dir string) error
	// Bind takes a UDP port for a moment.
	Bind(port int) error
	// ReceiveBuffer is the largest receive buffer that the system grants, and the one that is wanted.
	ReceiveBuffer() (most, want int, err error)
	// Find looks for a program.
	Find(program string) error
	Now() time.Time
}

// patience is how long one look may take.
const patience = 20 * time.Second

// Examine looks at everything in turn. With submit it also has a test tone analysed.
func Examine(ctx context.Context, w World, cfg config.Config, submit bool) (all []Finding) {
	p := patient{World: w, cfg: cfg}
	for _, look := range []func(context.Context) []Finding{
		p.configuration,
		p.key,
		p.api,
		p.database,
		p.audio,
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

// Misconfigured are the findings about a configuration that cannot be used. Nothing else can be looked at then.
func Misconfigured(err error) (all []Finding) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []Finding{{"configuration", Error, err.Error(), "callscreen config check"}}
	}
	for _, p := range problems {
		all = append(all, Finding{"configuration", Error, p.Path + ": " + p.Message, p.Hint})
	}
	return all
}

// Failed tells whether one of the findings is an error.
func Failed(all []Finding) bool {
	for _, f := range all {
		if f.Level == Error {
			return true
		}
	}
	return false
}

// Print writes each finding in a line of its own.
func Print(w io.Writer, all []Finding) error {
	for _, f := range all {
		line := fmt.Sprintf("%-8s %-14s %s", f.Level, f.Check, f.Message)
		if f.Hint != "" {
			line += " (hint: " + f.Hint + ")"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// fault is a finding about an error, whose text may have a hint already.
func fault(check string, level Level, err error, hint string) []Finding {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if before, own, ok := strings.Cut(text, " (hint: "); ok {
		text, hint = before, strings.TrimSuffix(own, ")")
	}
	return []Finding{{check, level, text, hint}}
}

func fine(check, format string, args ...any) []Finding {
	return []Finding{{Check: check, Level: OK, Message: fmt.Sprintf(format, args...)}}
}
