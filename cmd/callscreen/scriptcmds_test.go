package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-audio/wav"
	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a program and expects this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// wavs checks with an independent reader that every file of a directory is mono, 16 kHz, 16-bit PCM and smaller than
// 10,000,000 bytes. A second argument is the expected number of files.
func wavs(ts *testscript.TestScript, neg bool, args []string) {
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*"))
	ts.Check(err)
	if len(args) > 1 && strconv.Itoa(len(files)) != args[1] {
		ts.Fatalf("%d files, want %s: %v", len(files), args[1], files)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		ts.Check(err)
		f, err := os.Open(name)
		ts.Check(err)
		d := wav.NewDecoder(f)
		d.ReadInfo()
		problem := ""
		switch {
		case !d.IsValidFile() || d.WavAudioFormat != 1:
			problem = "not PCM WAV"
		case d.NumChans != 1 || d.SampleRate != 16000 || d.BitDepth != 16:
			problem = fmt.Sprintf("%d channels, %d Hz, %d bits", d.NumChans, d.SampleRate, d.BitDepth)
		case info.Size() >= 10_000_000:
			problem = fmt.Sprintf("%d bytes", info.Size())
		case info.Mode().Perm() != 0o600:
			problem = "mode " + info.Mode().String()
		}
		ts.Check(f.Close())
		if problem != "" {
			ts.Fatalf("%s: %s", name, problem)
		}
	}
}

// call checks a field of the JSON object that the last command printed. The path may lead through lists:
// segments.0.state. WANT may be a list of alternatives, a|b, or ">0".
func call(ts *testscript.TestScript, neg bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	var value any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &value); err != nil {
		ts.Fatalf("the last line is not JSON: %v", err)
	}
	for _, key := range strings.Split(args[0], ".") {
		switch v := value.(type) {
		case map[string]any:
			inner, ok := v[key]
			if !ok {
				ts.Fatalf("there is no %s in %v", args[0], reflect.ValueOf(v).MapKeys())
			}
			value = inner
		case []any:
			if key == "len" {
				value = float64(len(v))
				continue
			}
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(v) {
				ts.Fatalf("there is no %s: the list has %d entries", args[0], len(v))
			}
			value = v[i]
		default:
			ts.Fatalf("%s leads into %v", args[0], value)
		}
	}
	got := fmt.Sprint(value)
	matched := false
	for _, want := range strings.Split(args[1], "|") {
		matched = matched || got == want
		if bound, ok := strings.CutPrefix(want, ">"); ok {
			least, err := strconv.ParseFloat(bound, 64)
			ts.Check(err)
			n, ok := value.(float64)
			matched = matched || ok && n > least
		}
	}
	if matched == neg {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}
