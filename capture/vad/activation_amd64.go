//go:build !purego

package vad

// tanhTerms are the constants of tanh in the order in which tanhAVX2 loads them.
var tanhTerms = [...]float32{
	tanhLimit, -tanhLimit,
	tanhP0, tanhP1, tanhP2, tanhP3, tanhP4,
	1, tanhQ1, tanhQ2, tanhQ3, tanhQ4,
	-1,
}

func tanhFast(values []float32) {
	whole := len(values) &^ 7
	if whole > 0 {
		tanhAVX2(&values[0], whole, &tanhTerms[0])
	}
	tanhGo(values[whole:])
}

//go:noescape
func tanhAVX2(values *float32, n int, terms *float32)
