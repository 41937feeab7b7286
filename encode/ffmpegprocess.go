package encode

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Limits of a program that decodes a file. They are far above the needs of any recording.
const (
	programMemory    = 2 << 30 // bytes of address space
	programData      = 1 << 30 // bytes of data, where the system counts them
	programSeconds   = 120     // of CPU time, in any case
	programPerSecond = 128 << 10
)

// command returns a command that is killed, with all processes that it started, when ctx ends.
func command(ctx context.Context, exe string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.WaitDelay = ffmpegGrace
	isolate(cmd)
	return cmd
}

// limitOf returns the limit that ended a program, or "".
func limitOf(ctx context.Context, log *boundedLog, cmd *exec.Cmd) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "it took too long, and was killed (limit of the run time)"
	case strings.Contains(log.last(), "Cannot allocate memory"):
		return fmt.Sprintf("the file needs more than %d MiB of memory (limit of ffmpeg)", programData>>20)
	case outOfTime(cmd.ProcessState):
		return "it used too much CPU time, and was killed (limit of ffmpeg)"
	}
	return ""
}

// start starts a command under limits that depend on the size of the file that it reads.
func start(cmd *exec.Cmd, size int64) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	limit(cmd.Process.Pid, uint64(programSeconds+size/programPerSecond))
	return nil
}
