package vad

// The terms of a quotient of polynomials in x² that, times x, approximates tanh(x) within 1.4e-8 up to tanhLimit. Beyond it the
// quotient's value at the limit is within 6e-8 of tanh.
const (
	tanhLimit = 8.7

	tanhP0 = 0.999999932
	tanhP1 = 0.1339313278
	tanhP2 = 0.003510238693
	tanhP3 = 2.086149158e-5
	tanhP4 = 1.372772243e-8

	tanhQ1 = 0.4672643909
	tanhQ2 = 0.02593201604
	tanhQ3 = 0.0003310073398
	tanhQ4 = 7.924180921e-7
)

// tanh returns the hyperbolic tangent within 3.5e-7, most of which is the rounding of the terms to float32. It lies within -1..1.
func tanh(x float32) float32 {
	if x > tanhLimit {
		x = tanhLimit
	}
	if x < -tanhLimit {
		x = -tanhLimit
	}
	y := float32(x * x)
	p := float32(tanhP4*y) + tanhP3
	p = float32(p*y) + tanhP2
	p = float32(p*y) + tanhP1
	p = float32(p*y) + tanhP0
	q := float32(tanhQ4*y) + tanhQ3
	q = float32(q*y) + tanhQ2
	q = float32(q*y) + tanhQ1
	q = float32(q*y) + 1
	t := float32(p*x) / q
	if t > 1 {
		t = 1
	}
	if t < -1 {
		t = -1
	}
	return t
}

// tanhGo replaces each value by its tanh.
func tanhGo(values []float32) {
	for i, x := range values {
		values[i] = tanh(x)
	}
}

// sigmoid returns 1/(1+exp(-x)) for half of x, within 1.8e-7.
func sigmoid(half float32) float32 { return fromTanh(tanh(half)) }

// fromTanh returns the sigmoid of x for the tanh of x/2.
func fromTanh(t float32) float32 { return float32(0.5*t) + 0.5 }
