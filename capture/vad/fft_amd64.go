//go:build !purego

package vad

func transformFast(work, twiddle []float32) {
	if len(twiddle) == 0 { // a transform of four elements
		transformGo(work, twiddle)
		return
	}
	transformSSE(&work[0], len(work)/8, &twiddle[0])
}

func separateFast(out, work, split []float32) {
	separateSSE(&out[0], &work[0], &split[0], len(work)/8)
}

//go:noescape
func transformSSE(work *float32, n int, twiddle *float32)

//go:noescape
func separateSSE(out, work, split *float32, n int)
