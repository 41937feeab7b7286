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
	frame, context int // samples
	window, bins   int // of the short-time Fourier transform
	encoder        [4]layer
	lstm           layer // on the encoder's output and the hidden state, side by side
	out            []float32
	outBias        float32
	fft            *fft
}

// hidden is the size of the LSTM.
const hidden = 128

// layer is a matrix with a bias. The weights of eight rows are interleaved column by column, so that one pass over the
// columns computes eight outputs and reads memory in order.
type layer struct {
	rows, cols int
	weights    []float32
	bias       []float32
}

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
		for j, shape := range [4][2]int{{128, bins}, {64, 128}, {64, 64}, {128, 64}} {
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

func (r *reader) lstm() layer {
	input, state := r.take(4*hidden*hidden), r.take(4*hidden*hidden)
	bias := r.take(4 * hidden)
	for i, b := range r.take(4 * hidden) {
		bias[i] += b
	}
	return newLayer(4*hidden, 2*hidden, bias, func(row, col int) float32 {
		if col < hidden {
			return input[row*hidden+col]
		}
		return state[row*hidden+col-hidden]
	})
}

func newLayer(rows, cols int, bias []float32, weight func(row, col int) float32) layer {
	l := layer{rows: rows, cols: cols, bias: bias, weights: make([]float32, 0, rows*cols)}
	for block := 0; block < rows; block += 8 {
		for col := range cols {
			for row := block; row < block+8; row++ {
				l.weights = append(l.weights, weight(row, col))
			}
		}
	}
	return l
}

// input is a sparse vector: after a ReLU more than half of the elements are zero.
type input struct {
	index []int32 // offset of the column within a block of eight rows
	value []float32
}

func (in *input) reset() { in.index, in.value = in.index[:0], in.value[:0] }

// add appends the values of columns from col on.
func (in *input) add(col int, values []float32) {
	for i, v := range values {
		if v != 0 {
			in.index = append(in.index, int32(8*(col+i)))
			in.value = append(in.value, v)
		}
	}
}

func relu(v []float32) {
	for i, x := range v {
		if x < 0 {
			v[i] = 0
		}
	}
}
