package vad

import "math"

// network is a model with the state of one leg.
type network struct {
	*model
	samples []float32 // context, frame, reflection
	spectra [4][]float32
	work    []complex64
	in      input
	layers  [3][]float32 // outputs of the encoder, frame after frame
	state   []float32    // hidden
	cell    []float32
	gates   []float32
}

func newNetwork(m *model) *network {
	n := &network{
		model:   m,
		samples: make([]float32, m.context+m.frame+m.context),
		work:    make([]complex64, m.window),
		layers:  [3][]float32{make([]float32, 4*128), make([]float32, 2*64), make([]float32, 128)},
		state:   make([]float32, hidden),
		cell:    make([]float32, hidden),
		gates:   make([]float32, 4*hidden),
	}
	for i := range n.spectra {
		n.spectra[i] = make([]float32, m.bins)
	}
	widest := 3 * m.bins
	n.in = input{index: make([]int32, 0, widest), value: make([]float32, 0, widest)}
	return n
}

func (n *network) reset() {
	clear(n.samples)
	clear(n.state)
	clear(n.cell)
}

// load takes the next frame. The end of the previous frame becomes its context. Without it every frame would look like the
// onset of a sound.
func (n *network) load(pcm []int16) {
	copy(n.samples, n.samples[n.frame:n.frame+n.context])
	frame := n.samples[n.context:][:n.frame]
	for i, s := range pcm[:n.frame] {
		frame[i] = float32(s) * (1.0 / 32768)
	}
}

// analyze computes the spectra of the loaded frame.
func (n *network) analyze() {
	end := n.context + n.frame
	for i := range n.context { // reflected at the last sample
		n.samples[end+i] = n.samples[end-2-i]
	}
	hop := n.window / 2
	for i := 0; i < 4; i += 2 {
		n.fft.magnitudes(n.spectra[i], n.spectra[i+1], n.samples[i*hop:], n.samples[(i+1)*hop:], n.work)
	}
}

// infer returns the probability of speech in the analysed frame and advances the state of the network.
func (n *network) infer() float32 {
	n.convolve(&n.encoder[0], 1, 4, func(t int) []float32 { return n.spectra[t] }, n.layers[0])
	n.convolve(&n.encoder[1], 2, 4, func(t int) []float32 { return n.layers[0][t*128:][:128] }, n.layers[1])
	n.convolve(&n.encoder[2], 2, 2, func(t int) []float32 { return n.layers[1][t*64:][:64] }, n.layers[2][:64])
	n.convolve(&n.encoder[3], 1, 1, func(int) []float32 { return n.layers[2][:64] }, n.gates[:128])
	n.in.reset()
	n.in.add(0, n.gates[:128])
	n.in.add(hidden, n.state)
	n.lstm.apply(n.gates, &n.in)
	sum := n.outBias
	for i := range hidden {
		in, forget := sigmoid(n.gates[i]), sigmoid(n.gates[hidden+i])
		candidate, out := tanh(n.gates[2*hidden+i]), sigmoid(n.gates[3*hidden+i])
		n.cell[i] = forget*n.cell[i] + in*candidate
		n.state[i] = out * tanh(n.cell[i])
		if n.state[i] > 0 {
			sum += n.state[i] * n.out[i]
		}
	}
	return sigmoid(sum)
}

// convolve applies a layer and a ReLU to every stride-th frame together with the frames before and after it.
func (n *network) convolve(l *layer, stride, frames int, at func(t int) []float32, out []float32) {
	for t, o := 0, 0; t < frames; t, o = t+stride, o+l.rows {
		n.in.reset()
		for tap := range 3 {
			if from := t + tap - 1; from >= 0 && from < frames {
				n.in.add(tap*l.cols/3, at(from))
			}
		}
		l.apply(out[o:o+l.rows], &n.in)
		relu(out[o : o+l.rows])
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

func tanh(x float32) float32 { return float32(math.Tanh(float64(x))) }
