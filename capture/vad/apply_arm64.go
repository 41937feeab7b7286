//go:build !purego

package vad

//go:noescape
func columnsNEON(out, weights, bias *float32, shift int, index *int32, value *float32, n int)

//go:noescape
func windowsNEON(out *float32, stride int, weights, bias, spectra *float32, bins int)
