//go:build !purego

package vad

//go:noescape
func columnsSSE(out, weights, bias *float32, shift int, index *int32, value *float32, n int)

//go:noescape
func columnsAVX2(out, weights, bias *float32, shift int, index *int32, value *float32, n int)

//go:noescape
func windowsSSE(out *float32, stride int, weights, bias, spectra *float32, bins int)

//go:noescape
func windowsAVX2(out *float32, stride int, weights, bias, spectra *float32, bins int)
