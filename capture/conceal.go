package capture

// concealer makes up for short losses: it repeats the last pitch-free stretch of audio, forwards and backwards in turn so
// that no seam clicks, and fades it out. After its limit there is silence, which the caller writes as a gap.
type concealer struct {
	last  []int16 // the newest samples, at most size
	size  int
	limit int // samples that may be made up in a row
	run   int // samples made up since the last real ones
}

func newConcealer(rate int) concealer {
	return concealer{size: rate / 50, limit: rate / 10}
}

// heard keeps the newest of what was decoded.
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

// reset forgets what was heard, so that nothing is made up.
func (c *concealer) reset() { c.last, c.run = c.last[:0], 0 }

// left is how many samples may still be made up.
func (c *concealer) left() int {
	if len(c.last) == 0 {
		return 0
	}
	return c.limit - c.run
}

// conceal appends n samples, which must not be more than left.
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
