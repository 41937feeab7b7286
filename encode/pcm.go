package encode

// ToInt16 converts samples within -1..1 to 16-bit PCM: times 32,768, rounded to the nearest integer (halves away from
// zero) and saturated. It returns the number of samples that were saturated. NaN becomes 0 and counts as saturated. dst
// must be at least as long as src. Samples that came from 16-bit PCM are restored bit for bit.
func ToInt16(dst []int16, src []float32) (clipped int) {
	dst = dst[:len(src)]
	for i, x := range src {
		v := x * 32768
		switch {
		case v >= 32767.5:
			dst[i] = 32767
			clipped++
		case v <= -32768.5:
			dst[i] = -32768
			clipped++
		case v >= 0:
			dst[i] = int16(int32(v + 0.5))
		case v < 0:
			dst[i] = int16(int32(v - 0.5))
		default: // NaN
			dst[i] = 0
			clipped++
		}
	}
	return clipped
}

// ToFloat32 converts 16-bit PCM to samples within -1..1, the inverse of [ToInt16]. dst must be at least as long as src.
func ToFloat32(dst []float32, src []int16) {
	dst = dst[:len(src)]
	for i, x := range src {
		dst[i] = float32(x) * (1.0 / 32768)
	}
}

// Deinterleave appends channel ch (0 is the first) of interleaved samples to dst and returns it. An incomplete last frame
// is dropped. It panics if ch is out of range.
func Deinterleave(dst, src []float32, channels, ch int) []float32 {
	if ch < 0 || ch >= channels {
		panic("encode: no such channel")
	}
	if channels == 1 {
		return append(dst, src...)
	}
	for i := ch; i+channels-ch <= len(src); i += channels {
		dst = append(dst, src[i])
	}
	return dst
}

// Downmix appends the mean of all channels of interleaved samples to dst and returns it. An incomplete last frame is
// dropped. The mean cannot clip. Two channels of opposite phase cancel each other out,
// which [Mixer] avoids.
func Downmix(dst, src []float32, channels int) []float32 {
	if channels <= 1 {
		return append(dst, src...)
	}
	scale := 1 / float32(channels)
	for ; len(src) >= channels; src = src[channels:] {
		sum := src[0]
		for _, x := range src[1:channels] {
			sum += x
		}
		dst = append(dst, sum*scale)
	}
	return dst
}
