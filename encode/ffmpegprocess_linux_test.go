package encode_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"callscreen/encode"
)

// childOf returns the only child process.
func childOf(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(children(t)))
	if err != nil {
		t.Fatalf("child processes are %q", children(t))
	}
	return pid
}

func TestFFmpegRunsUnderLimits(t *testing.T) {
	src, err := encode.Open(deadline(t), longFLAC(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	pid := childOf(t)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Max cpu time +[1-9]\d{2,3} +[1-9]\d{2,3} `, `Max address space +2147483648 +2147483648 `, `Max data size +1073741824 `,
	} {
		if !regexp.MustCompile(want).Match(limits) {
			t.Errorf("%q is not among the limits:\n%s", want, limits)
		}
	}
	if group, err := unix.Getpgid(pid); err != nil || group != pid {
		t.Errorf("the process group is %d, %v, want %d", group, err, pid)
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(args), "-protocol_whitelist\x00file,pipe\x00") {
		t.Errorf("arguments are %q, %v", args, err)
	}
	if !strings.Contains(string(args), "-max_pixels\x0016777216\x00") {
		t.Errorf("arguments are %q", args)
	}
}

// TestParentOfFFmpeg is the process that the next test kills.
func TestParentOfFFmpeg(t *testing.T) {
	path := os.Getenv("ENCODE_TEST_RECORDING")
	if path == "" {
		t.Skip("only runs as a process of its own")
	}
	src, err := encode.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("child %d\n", childOf(t))
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
	src.Close()
}

func TestFFmpegDiesWithItsParent(t *testing.T) {
	path := longFLAC(t)
	cmd := exec.CommandContext(deadline(t), os.Args[0], "-test.run", "^TestParentOfFFmpeg$")
	cmd.Env = append(os.Environ(), "ENCODE_TEST_RECORDING="+path)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "child %d", &pid)
	}
	if pid == 0 {
		t.Fatal("the process did not start ffmpeg")
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
	if err != nil || n != 1 {
		t.Errorf("ffmpeg runs on without its parent: %d, %v", n, err)
	}
}

func TestFFmpegOutputIsBounded(t *testing.T) {
	// A program that never ends: it writes a WAV header and zeros.
	dir := t.TempDir()
	header := filepath.Join(dir, "header")
	endless := sized(riff(chunk("fmt ", fmtChunk(3, 1, 192000, 32)), chunk("data", nil)), 0xffffffff, 0xffffffff)
	if err := os.WriteFile(header, endless, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "decoder")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec cat "+header+" /dev/zero\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "call.flac")
	if err := os.WriteFile(file, []byte("fLaC\x00\x00\x00\x22 and so on"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := encode.Open(deadline(t), file, &encode.Options{FFmpeg: program})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	buf := make([]float32, 1<<16)
	n := 0
	for err == nil {
		var k int
		k, err = src.Read(buf)
		n += k
	}
	if n > 70<<20 || !strings.Contains(err.Error(), "decoding was stopped") {
		t.Errorf("%d samples, %v", n, err)
	}
	if a := checkAccount(t, src); a.Unheard() == 0 {
		t.Errorf("account is %+v", a)
	}
}
