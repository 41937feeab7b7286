//go:build !purego

package vad

import "golang.org/x/sys/cpu"

// available are the kernels that run on this processor, the fastest last.
var available = choose(cpu.X86.HasAVX2)

// choose returns the kernels for a processor. Every amd64 has SSE.
func choose(avx2 bool) []kernels {
	sse := kernels{
		name:      "sse",
		columns:   columnsFor(columnsSSE),
		windows:   windowsFor(windowsSSE),
		tanh:      tanhGo,
		transform: transformFast,
		separate:  separateFast,
	}
	if !avx2 {
		return []kernels{plain, sse}
	}
	wide := sse
	wide.name, wide.columns, wide.windows, wide.tanh = "avx2", columnsFor(columnsAVX2), windowsFor(windowsAVX2), tanhFast
	return []kernels{plain, sse, wide}
}
