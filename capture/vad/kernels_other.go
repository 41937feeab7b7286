//go:build (!amd64 && !arm64) || purego

package vad

// available are the kernels that run on this processor, the fastest last.
var available = []kernels{plain}
