//go:build !purego

package vad

// available are the kernels that run on this processor, the fastest last. Every arm64 has NEON.
var available = []kernels{plain, {
	name:      "neon",
	columns:   columnsFor(columnsNEON),
	windows:   windowsFor(windowsNEON),
	tanh:      tanhGo,
	transform: transformGo,
	separate:  separateGo,
}}
