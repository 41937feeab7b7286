package vad

// apply multiplies the matrix with a vector and adds the bias. out must have as many elements as the matrix has rows. shift
// columns are added to the columns of the vector.
func (l *layer) apply(k *kernels, out []float32, shift int, index []int32, value []float32) {
	size := block * l.cols
	for row := 0; row < l.rows; row += block {
		weights := l.weights[row*l.cols:][:size:size]
		k.columns(out[row:][:block], weights, l.bias[row:][:block], shift*block, index, value[:len(index)])
	}
}

// columnsGo computes one block of rows of apply: the bias, and for each i value[i] times the weights from index[i]+shift on.
func columnsGo(out, weights, bias []float32, shift int, index []int32, value []float32) {
	for row := 0; row < block; row += 8 {
		b := bias[row:][:8]
		a0, a1, a2, a3, a4, a5, a6, a7 := b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]
		for i, at := range index {
			x := value[i]
			c := weights[int(at)+shift+row:][:8]
			a0 += float32(x * c[0])
			a1 += float32(x * c[1])
			a2 += float32(x * c[2])
			a3 += float32(x * c[3])
			a4 += float32(x * c[4])
			a5 += float32(x * c[5])
			a6 += float32(x * c[6])
			a7 += float32(x * c[7])
		}
		o := out[row:][:8]
		o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7] = a0, a1, a2, a3, a4, a5, a6, a7
	}
}

// apply computes the outputs for the four windows, one after the other.
func (l *spectralLayer) apply(k *kernels, out, spectra []float32) {
	size := 3 * group * l.bins
	for row := 0; row < l.rows; row += group {
		k.windows(out[row:], l.rows, l.weights[row/group*size:][:size], l.bias[row:][:group], spectra[:4*l.bins])
	}
}

// windowsGo computes one group of rows of the four outputs, which are stride elements apart: the bias, and for each bin its
// three weights times the magnitudes of the windows before, at and after the output. Two rows share a pass, so that eight
// sums do not wait for each other.
func windowsGo(out []float32, stride int, weights, bias, spectra []float32) {
	for row := 0; row < group; row += 2 {
		a0, b0 := bias[row], bias[row+1]
		a1, a2, a3, b1, b2, b3 := a0, a0, a0, b0, b0, b0
		for i := 0; i < len(spectra); i += 4 {
			x := spectra[i:][:4]
			x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
			w := weights[i/4*3*group+row:][:2*group+2]
			before, at, after := w[0], w[group], w[2*group]
			a0 += float32(at * x0)
			a1 += float32(before * x0)
			a2 += float32(before * x1)
			a3 += float32(before * x2)
			a0 += float32(after * x1)
			a1 += float32(at * x1)
			a2 += float32(at * x2)
			a3 += float32(at * x3)
			a1 += float32(after * x2)
			a2 += float32(after * x3)
			before, at, after = w[1], w[group+1], w[2*group+1]
			b0 += float32(at * x0)
			b1 += float32(before * x0)
			b2 += float32(before * x1)
			b3 += float32(before * x2)
			b0 += float32(after * x1)
			b1 += float32(at * x1)
			b2 += float32(at * x2)
			b3 += float32(at * x3)
			b1 += float32(after * x2)
			b2 += float32(after * x3)
		}
		out[row], out[row+1] = a0, b0
		out[stride+row], out[stride+row+1] = a1, b1
		out[2*stride+row], out[2*stride+row+1] = a2, b2
		out[3*stride+row], out[3*stride+row+1] = a3, b3
	}
}
