package vad

import "testing"

func TestVariance(t *testing.T) {
	for _, c := range []struct {
		frame []int16
		want  float32
	}{
		{[]int16{5}, 0},
		{[]int16{-3, 3}, 9},
		{[]int16{32767, 32767, 32767}, 0},
		{[]int16{-32768, 32767}, 32767.5 * 32767.5},
		{[]int16{30001, 30003, 30001, 30003}, 1},
	} {
		if got := variance(c.frame); got != c.want {
			t.Errorf("variance of %v is %v, want %v", c.frame, got, c.want)
		}
	}
}
