package vad

// kernels are the inner loops of the network for one kind of processor. All kinds add in the same order and round after each
// step, so that they return the same bits and a call is cut at the same places on every machine. A fused multiply-add rounds
// once instead of twice, so no kernel uses it, and the Go versions convert each product to float32, which forbids it.
type kernels struct {
	name      string
	columns   func(out, weights, bias []float32, shift int, index []int32, value []float32)
	windows   func(out []float32, stride int, weights, bias, spectra []float32)
	tanh      func(values []float32)
	transform func(work, twiddle []float32)
	separate  func(out, work, split []float32)
}

// plain are the kernels for every processor.
var plain = kernels{
	name:      "go",
	columns:   columnsGo,
	windows:   windowsGo,
	tanh:      tanhGo,
	transform: transformGo,
	separate:  separateGo,
}

// fastest are the kernels that detectors use.
var fastest = &available[len(available)-1]
