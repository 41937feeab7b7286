//go:build !purego

package vad

import "golang.org/x/sys/cpu"

// available are the kernels that run on this processor, the fastest last.
var available = choose(cpu.X86.HasAVX2)

// choose returns the kernels for a processor. Every amd64 has SSE.
func choose(avx2 bool) []kernels {
	all := []kernels{plain, {
		name:    "sse",
		columns: columnsFor(columnsSSE),
		windows: windowsFor(windowsSSE),
		tanh:    tanhGo,
	}}
	if avx2 {
		all = append(all, kernels{
			name:    "avx2",
			columns: columnsFor(columnsAVX2),
			windows: windowsFor(windowsAVX2),
			tanh:    tanhFast,
		})
	}
	return all
}
