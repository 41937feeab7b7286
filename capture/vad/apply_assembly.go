//go:build (amd64 || arm64) && !purego

package vad

// columnsFor returns columns by a function in assembly.
func columnsFor(
	assembly func(out, weights, bias *float32, shift int, index *int32, value *float32, n int),
) func(out, weights, bias []float32, shift int, index []int32, value []float32) {
	return func(out, weights, bias []float32, shift int, index []int32, value []float32) {
		if len(index) == 0 {
			copy(out, bias)
			return
		}
		assembly(&out[0], &weights[0], &bias[0], shift, &index[0], &value[0], len(index))
	}
}

// windowsFor returns windows by a function in assembly.
func windowsFor(
	assembly func(out *float32, stride int, weights, bias, spectra *float32, bins int),
) func(out []float32, stride int, weights, bias, spectra []float32) {
	return func(out []float32, stride int, weights, bias, spectra []float32) {
		assembly(&out[0], stride, &weights[0], &bias[0], &spectra[0], len(spectra)/4)
	}
}
