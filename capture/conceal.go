package capture

// concealer synthesizes audio for short losses. It repeats the last 20 ms, backwards and forwards in turn so that no seam
// clicks, and fades them out. After its limit the caller writes a gap.
type concealer struct {
	last  []int16 // newest samples, at most size
	size  int
	limit int // synthesized samples in a row
	run   int // samples synthesized since the last decoded one
}

func newConcealer(rate int) concealer {
	return concealer{size: rate / 50, limit: rate / 10}
}

// heard keeps the newest of the decoded samples.
func (c *concealer) heard(pcm []int16) {
	c.run = 0
	if len(pcm) >= c.size {
		c.last = append(c.last[:0], pcm[len(pcm)-c.size:]...)
		return
	}
	if over := len(c.last) + len(pcm) - c.size; over > 0 {
		c.last = c.last[:copy(c.last, c.last[over:])]
	}
	c.last = append(c.last, pcm...)
}

// reset drops the kept samples, so that nothing is synthesized from them.
func (c *concealer) reset() { c.last, c.run = c.last[:0], 0 }

// left returns the number of samples that may still be synthesized.
func (c *concealer) left() int {
	if len(c.last) == 0 {
		return 0
	}
	return c.limit - c.run
}

// conceal appends n samples to dst. n must not exceed left.
func (c *concealer) conceal(dst []int16, n int) []int16 {
	for range n {
		period := 2 * len(c.last)
		i := c.run % period
		if i < len(c.last) {
			i = len(c.last) - 1 - i // backwards first: it continues the last sample
		} else {
			i -= len(c.last)
		}
		dst = append(dst, int16(int64(c.last[i])*int64(c.limit-c.run)/int64(c.limit)))
		c.run++
	}
	return dst
}
