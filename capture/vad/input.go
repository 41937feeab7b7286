package vad

import "math"

// input is a sparse vector: after a ReLU more than half of the elements are zero.
type input struct {
	index []int32 // offset of the column in a block of rows
	value []float32
	n     int    // elements
	start [5]int // first element of each frame, and the end of the last
}

func newInput(size int) input { return input{index: make([]int32, size), value: make([]float32, size)} }

// rectify makes the ReLU of frames of as many channels the input.
func (in *input) rectify(frames []float32, channels int) {
	in.n = 0
	for t := range len(frames) / channels {
		in.add(t*channels, frames[t*channels:][:channels])
		in.start[t+1] = in.n
	}
}

// add appends the positive of the values, which are those of the columns from col on. It does not branch on the sign, which no
// processor predicts.
func (in *input) add(col int, values []float32) {
	at := in.n
	index, value := in.index[:at+len(values)], in.value[:at+len(values)]
	for i, v := range values {
		index[at], value[at] = int32(block*(col+i)), v
		at += int(uint32(-int32(math.Float32bits(v))) >> 31) // the bits of a positive number are those of a positive integer
	}
	in.n = at
}
