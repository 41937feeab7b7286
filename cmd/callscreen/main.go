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
)

// The exit codes of the program. Those of replay say what was found.
const (
	exitOK           = 0
	exitError        = 1
	exitUsage        = 2
	exitFlagged      = 3
	exitInconclusive = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := run(ctx, os.Args[1:], env{environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// run carries out one command line and returns the exit code.
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

// env is what a verb may touch of the world.
type env struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func newRoot(e env) *cobra.Command {
	root := &cobra.Command{
		Use:           "callscreen",
		Short:         "Screens calls for synthetic voices, and flags those that a person should hear",
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

// usageError is a command line that cannot be carried out as it is written.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// outcomeError is an exit code for which everything was said already.
type outcomeError int

func (e outcomeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// hinter is an error that knows what to do about it, and does not say so in its text.
type hinter interface{ Hint() string }

// printError writes each problem on a line of its own.
func printError(w io.Writer, err error) {
	text := err.Error()
	var h hinter
	if errors.As(err, &h) && h.Hint() != "" && !strings.Contains(text, h.Hint()) {
		text += " (hint: " + h.Hint() + ")"
	}
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "callscreen: %s\n", strings.TrimSpace(line))
	}
}
