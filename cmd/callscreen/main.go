// Command callscreen screens calls for synthetic voices.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"callscreen/internal/terminal"
)

// Exit codes. The last two are results of replay.
const (
	exitOK           = 0
	exitError        = 1
	exitUsage        = 2
	exitFlagged      = 3
	exitInconclusive = 4
)

func main() {
	ofLibraries(nil)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal terminates the process
	code := run(ctx, os.Args[1:], env{environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, e env) int {
	root := newRoot(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var outcome outcomeError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &outcome):
		return int(outcome)
	case errors.As(err, &usage):
		printError(e.stderr, usage.error)
		return exitUsage
	}
	printError(e.stderr, err)
	return exitError
}

// env is the environment of a verb, replaced in tests.
type env struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func newRoot(e env) *cobra.Command {
	root := &cobra.Command{
		Use:           "callscreen",
		Short:         "Screens calls for synthetic voices and flags calls for human review",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown verb %q (hint: %s)", args[0], verbHint(cmd, args[0]))
			}
			return cmd.Help()
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (hint: %s --help)", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newReplay(e),
		newServe(e),
		newPublish(e),
		newDemo(e),
		newSimulator(e),
		newBacktest(e),
		newCalls(e),
		newMigrate(e),
		newAudit(e),
		newWebhooks(e),
		newExport(e),
		newImport(e),
		newConfig(e),
		newDoctor(e),
		newKeygen(e),
		newVersion(e),
	)
	return root
}

func verbHint(root *cobra.Command, verb string) string {
	if near := root.SuggestionsFor(verb); len(near) > 0 {
		return "did you mean " + near[0] + "?"
	}
	return "callscreen --help lists the verbs"
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// outcomeError is an exit code whose result is already printed.
type outcomeError int

func (e outcomeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// hinter is an error with a hint that is not part of its text.
type hinter interface{ Hint() string }

// printError writes one line for each problem.
func printError(w io.Writer, err error) {
	lines := problemLines(err)
	var h hinter
	if errors.As(err, &h) && h.Hint() != "" && !strings.Contains(err.Error(), h.Hint()) {
		lines[len(lines)-1] += " (hint: " + h.Hint() + ")"
	}
	for _, line := range lines {
		fmt.Fprintf(w, "callscreen: %s\n", terminal.Line(strings.TrimSpace(line)))
	}
}

// problemLines returns the text of each of the joined errors. A line break within a text is part of a name, and makes no line.
func problemLines(err error) (lines []string) {
	text := err.Error()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var texts []string
		for _, one := range joined.Unwrap() {
			lines, texts = append(lines, problemLines(one)...), append(texts, one.Error())
		}
		if strings.Join(texts, "\n") == text {
			return lines
		}
	}
	if inner := errors.Unwrap(err); inner != nil {
		if before, ok := strings.CutSuffix(text, inner.Error()); ok {
			lines = problemLines(inner)
			lines[0] = before + lines[0]
			return lines
		}
	}
	return []string{text}
}
