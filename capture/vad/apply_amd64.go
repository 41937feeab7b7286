//go:build !purego

package vad

// sixteen is sixteenGo with SSE, which every amd64 has: four rows a register, added in the same order.
func sixteen(out, weights, bias []float32, index []int32, value []float32) {
	if len(index) == 0 {
		copy(out, bias)
		return
	}
	sixteenSSE(&out[0], &weights[0], &weights[len(weights)/2], &bias[0], &index[0], &value[0], len(index))
}

// sixteenSSE reads n columns, at most 8 weights from each index on in both blocks.
//
//go:noescape
func sixteenSSE(out, first, second, bias *float32, index *int32, value *float32, n int)
