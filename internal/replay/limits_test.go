package replay_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"callscreen/analyzer/simulator"
)

// A file that takes ffmpeg or ffprobe to a limit is not clear: what was decoded before is human speech, and the rest is not known.
func TestAFileThatReachesALimitIsNotClear(t *testing.T) {
	programs := map[string]string{}
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		path, err := exec.LookPath(name)
		if err != nil {
			if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
				t.Fatal(name + " is not installed")
			}
			t.Skip(name + " is not installed")
		}
		programs[name] = path
	}
	file := filepath.Join(t.TempDir(), "call.flac")
	encoder := exec.CommandContext(t.Context(), programs["ffmpeg"], "-v", "error", "-i", audio+"human.wav", file)
	if out, err := encoder.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	half := `"` + programs["ffmpeg"] + `" "$@" | head -c 400000; `
	for name, c := range map[string]struct{ program, script, decision string }{
		"no limit":              {"", "", "clear"},
		"CPU":                   {"ffmpeg", half + "kill -XCPU $$", "inconclusive"},
		"memory":                {"ffmpeg", half + `echo "[fatal] Cannot allocate memory" >&2; exit 1`, "inconclusive"},
		"a crash":               {"ffmpeg", half + "kill -SEGV $$", "inconclusive"},
		"killed by the system":  {"ffmpeg", half + "kill -KILL $$", "inconclusive"},
		"CPU before the start":  {"ffmpeg", "kill -XCPU $$", "inconclusive"},
		"CPU of ffprobe":        {"ffprobe", "kill -XCPU $$", "inconclusive"},
		"output of ffprobe":     {"ffprobe", "exec cat /dev/zero", "inconclusive"},
		"nothing from ffprobe":  {"ffprobe", "exit 0", "clear"}, // ffmpeg decodes all of it
		"an end that is early":  {"ffmpeg", half + "exit 0", "inconclusive"},
		"nothing, and no error": {"ffmpeg", "exit 0", "inconclusive"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for program, path := range programs { // ffprobe is the one beside ffmpeg
				script := fmt.Sprintf("exec %q \"$@\"", path)
				if program == c.program {
					script = c.script
				}
				if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			b := newBench(t, simulator.Script{}, nil)
			defer b.finish()
			r, err := b.screen(b.call("call"), file)
			if r.Decision != c.decision {
				t.Errorf("the call is %s", r.Decision)
			}
			t.Logf("%s for %v, warnings %q, %v", r.Decision, r.Reasons, r.Warnings, err)
		})
	}
}
