package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"callscreen": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			code := run(ctx, os.Args[1:], env{environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
			stop()
			os.Exit(code)
		},
	})
}

// TestScripts runs the program as a user does: arguments, output, exit codes.
func TestScripts(t *testing.T) {
	audio, err := filepath.Abs("../../testdata/audio")
	if err != nil {
		t.Fatal(err)
	}
	month := pastMonth(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("AUDIO", audio)
			e.Setenv("MONTH", month)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, // exits CODE callscreen ARGS...
			"wavs":  wavs,  // wavs DIR: every file in it keeps the promises to the API
			"call":  call,  // call FIELD WANT: a field of the JSON object on the last standard output
		},
	})
}
