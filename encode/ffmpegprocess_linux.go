package encode

import (
	"os"
	"os/exec"
	"syscall"
	"unsafe"
)

// isolate puts the process into a group of its own, which is killed as one, and ties it to the life of this process.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// limit bounds memory and CPU time (seconds) of a process that has just started. The process cannot raise the limits.
func limit(pid int, seconds uint64) {
	for resource, value := range map[int]uint64{
		syscall.RLIMIT_AS:   programMemory,
		syscall.RLIMIT_DATA: programData,
		syscall.RLIMIT_CPU:  seconds,
		syscall.RLIMIT_CORE: 0,
	} {
		rlimit := syscall.Rlimit{Cur: value, Max: value}
		if resource == syscall.RLIMIT_CPU {
			rlimit.Max++ // SIGXCPU first, which tells the limit from other kills
		}
		// A process that has ended already needs no limit.
		_, _, _ = syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), uintptr(resource), uintptr(unsafe.Pointer(&rlimit)), 0, 0, 0)
	}
}

// outOfTime reports whether the limit of the CPU time ended a process.
func outOfTime(state *os.ProcessState) bool {
	if state == nil {
		return false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGXCPU
}
