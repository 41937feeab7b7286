//go:build !amd64 || purego

package vad

func sixteen(out, weights, bias []float32, index []int32, value []float32) {
	sixteenGo(out, weights, bias, index, value)
}
