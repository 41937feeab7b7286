package vad

// apply multiplies the matrix with a vector and adds the bias. out must have as many elements as the matrix has rows, which
// is a multiple of 16.
func (l *layer) apply(out []float32, in *input) {
	for row := 0; row < l.rows; row += 16 {
		sixteen(out[row:][:16], l.weights[row*l.cols:][:16*l.cols], l.bias[row:][:16], in.index, in.value[:len(in.index)])
	}
}

// sixteenGo computes sixteen rows of apply, two blocks of weights. Every implementation adds in this order and rounds after
// each step, so that all processors return the same bits.
func sixteenGo(out, weights, bias []float32, index []int32, value []float32) {
	for half := range 2 {
		w := weights[half*len(weights)/2:][:len(weights)/2]
		b := bias[8*half:][:8]
		a0, a1, a2, a3, a4, a5, a6, a7 := b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]
		for i, at := range index {
			x := value[i]
			c := w[at:][:8]
			a0 += float32(x * c[0])
			a1 += float32(x * c[1])
			a2 += float32(x * c[2])
			a3 += float32(x * c[3])
			a4 += float32(x * c[4])
			a5 += float32(x * c[5])
			a6 += float32(x * c[6])
			a7 += float32(x * c[7])
		}
		o := out[8*half:][:8]
		o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7] = a0, a1, a2, a3, a4, a5, a6, a7
	}
}
