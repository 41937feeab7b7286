package vad

import (
	_ "embed"
	"encoding/binary"
	"math"
	"sync"
)

// silero holds the weights of both networks. See convert.go for the order and silero.LICENCE.txt for the licence.
//
//go:embed silero.bin
var silero []byte

// model holds the weights of a network. It is immutable and shared by all detectors of its rate.
type model struct {
	frame, context int           // samples
	window, bins   int           // of the short-time Fourier transform
	spectral       spectralLayer // the first layer of the encoder
	encoder        [3]layer      // the others
	lstm           layer         // on the encoder's output and the hidden state, side by side
	out            []float32
	outBias        float32
	fft            *fft
}

// hidden is the size of the LSTM.
const hidden = 128

// block is the number of rows of a layer that one pass over the columns computes. It divides the rows of every layer.
const block = 64

// layer is a matrix with a bias. The weights of a block of rows are interleaved column by column, so that the weights of a
// column are next to each other in memory.
type layer struct {
	rows, cols int
	weights    []float32
	bias       []float32
}

// spectralLayer is a convolution over the spectra of the four windows of a frame. It is applied to all of them in one pass, so
// that each weight is read once. The weights of a group of rows are interleaved by bin, then by tap, then by row.
type spectralLayer struct {
	rows, bins int
	weights    []float32
	bias       []float32
}

// group is the number of rows of a spectralLayer that one pass over the bins computes.
const group = 16

// models decodes the weights once, when the first detector is made.
var models = sync.OnceValue(func() (m [2]*model) {
	r := reader(silero)
	for i, window := range []int{256, 128} {
		bins := window/2 + 1
		m[i] = &model{
			frame:   2 * window,
			context: window / 4,
			window:  window,
			bins:    bins,
			fft:     newFFT(window),
		}
		m[i].spectral = r.spectral(128, bins)
		for j, shape := range [3][2]int{{64, 128}, {64, 64}, {128, 64}} {
			m[i].encoder[j] = r.convolution(shape[0], shape[1])
		}
		m[i].lstm = r.lstm()
		m[i].out = r.take(hidden)
		m[i].outBias = r.take(1)[0]
	}
	return m
})

type reader []byte

func (r *reader) take(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32((*r)[4*i:]))
	}
	*r = (*r)[4*n:]
	return out
}

// convolution reads a one-dimensional convolution over three frames. Its columns are the channels of the first frame, then
// those of the second, then those of the third.
func (r *reader) convolution(out, in int) layer {
	w := r.take(out * in * 3)
	return newLayer(out, 3*in, r.take(out), func(row, col int) float32 {
		tap, channel := col/in, col%in
		return w[(row*in+channel)*3+tap]
	})
}

// spectral reads a one-dimensional convolution over three frames.
func (r *reader) spectral(out, in int) spectralLayer {
	w := r.take(out * in * 3)
	return newSpectralLayer(out, in, r.take(out), func(row, bin, tap int) float32 { return w[(row*in+bin)*3+tap] })
}

// lstm reads the LSTM. The rows of the gates that pass through a sigmoid are halved, so that a tanh of all rows is the first
// step of either activation.
func (r *reader) lstm() layer {
	input, state := r.take(4*hidden*hidden), r.take(4*hidden*hidden)
	bias := r.take(4 * hidden)
	for i, b := range r.take(4 * hidden) {
		bias[i] += b
	}
	scale := func(row int) float32 {
		if row/hidden == 2 { // the candidate
			return 1
		}
		return 0.5
	}
	for row := range bias {
		bias[row] *= scale(row)
	}
	return newLayer(4*hidden, 2*hidden, bias, func(row, col int) float32 {
		if col < hidden {
			return scale(row) * input[row*hidden+col]
		}
		return scale(row) * state[row*hidden+col-hidden]
	})
}

func newSpectralLayer(rows, bins int, bias []float32, weight func(row, bin, tap int) float32) spectralLayer {
	l := spectralLayer{rows: rows, bins: bins, bias: bias, weights: make([]float32, 0, rows*bins*3)}
	for first := 0; first < rows; first += group {
		for bin := range bins {
			for tap := range 3 {
				for row := first; row < first+group; row++ {
					l.weights = append(l.weights, weight(row, bin, tap))
				}
			}
		}
	}
	return l
}

func newLayer(rows, cols int, bias []float32, weight func(row, col int) float32) layer {
	l := layer{rows: rows, cols: cols, bias: bias, weights: make([]float32, 0, rows*cols)}
	for first := 0; first < rows; first += block {
		for col := range cols {
			for row := first; row < first+block; row++ {
				l.weights = append(l.weights, weight(row, col))
			}
		}
	}
	return l
}
