package vad

// network is a model with the state of one leg.
type network struct {
	*model
	samples []float32    // context, frame, reflection
	spectra []float32    // magnitudes of the four windows, bin after bin
	work    []float32    // of the Fourier transform
	layers  [2][]float32 // outputs of the encoder before the ReLU, frame after frame
	in      input        // of a layer of the encoder
	memory  input        // of the LSTM: the hidden state, then the output of the encoder
	cell    []float32
	gates   []float32
	kernels *kernels
}

func newNetwork(m *model, k *kernels) *network {
	n := &network{
		model:   m,
		kernels: k,
		samples: make([]float32, m.context+m.frame+m.context),
		spectra: make([]float32, 4*m.bins),
		work:    make([]float32, 4*m.window),
		layers:  [2][]float32{make([]float32, 4*128), make([]float32, 2*64)},
		in:      newInput(4 * 128),
		memory:  newInput(2 * hidden),
		cell:    make([]float32, hidden),
		gates:   make([]float32, 4*hidden),
	}
	for i := range hidden {
		n.memory.index[i] = int32(block * (hidden + i))
	}
	return n
}

func (n *network) reset() {
	clear(n.samples)
	clear(n.state())
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
	n.fft.magnitudes(n.kernels, n.spectra, n.samples, n.work)
}

// state returns the hidden state. It is the first part of the input of the LSTM, where infer leaves it for the next frame.
func (n *network) state() []float32 { return n.memory.value[:hidden] }

// infer returns the probability of speech in the analysed frame and advances the state of the network.
func (n *network) infer() float32 {
	a, b := n.layers[0], n.layers[1]
	n.spectral.apply(n.kernels, a, n.spectra)
	n.convolve(&n.encoder[0], 2, 4, a, b)
	n.convolve(&n.encoder[1], 2, 2, b, a)
	n.convolve(&n.encoder[2], 1, 1, a, b)
	n.memory.n = hidden
	n.memory.add(0, b[:hidden])
	n.lstm.apply(n.kernels, n.gates, 0, n.memory.index[:n.memory.n], n.memory.value)
	return n.advance()
}

// advance computes the state of the LSTM from its gates, and the probability from the state.
func (n *network) advance() float32 {
	n.kernels.tanh(n.gates)
	in, forget, candidate, out := n.gates[:hidden], n.gates[hidden:][:hidden], n.gates[2*hidden:][:hidden], n.gates[3*hidden:][:hidden]
	cell, state := n.cell[:hidden], n.state()
	for i := range hidden {
		cell[i] = float32(fromTanh(forget[i])*cell[i]) + float32(fromTanh(in[i])*candidate[i])
	}
	copy(state, cell)
	n.kernels.tanh(state)
	sum := n.outBias
	for i := range hidden {
		state[i] *= fromTanh(out[i])
		sum += float32(max(state[i], 0) * n.out[i])
	}
	return sigmoid(sum / 2)
}

// convolve applies a layer to the ReLU of every stride-th frame together with the frames before and after it.
func (n *network) convolve(l *layer, stride, frames int, from, out []float32) {
	channels := l.cols / 3
	n.in.rectify(from[:frames*channels], channels)
	for t := 0; t < frames; t += stride {
		first, end := n.in.start[max(t-1, 0)], n.in.start[min(t+2, frames)]
		l.apply(n.kernels, out[:l.rows], (1-t)*channels, n.in.index[first:end], n.in.value[first:end])
		out = out[l.rows:]
	}
}
