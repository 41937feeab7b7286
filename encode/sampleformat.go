package encode

import (
	"encoding/binary"
	"math"
)

// sampleFormat returns the name of a WAV sample format and its converter, which returns the number of samples that were
// not numbers. The converter is nil if the format is unknown. size is in bytes.
func sampleFormat(tag uint16, size int) (string, func(dst []float32, src []byte) int) {
	switch {
	case tag == 1 && size == 1:
		return "pcm_u8", fromU8
	case tag == 1 && size == 2:
		return "pcm_s16le", fromS16
	case tag == 1 && size == 3:
		return "pcm_s24le", fromS24
	case tag == 1 && size == 4:
		return "pcm_s32le", fromS32
	case tag == 3 && size == 4:
		return "pcm_f32le", fromF32
	case tag == 3 && size == 8:
		return "pcm_f64le", fromF64
	case tag == 6 && size == 1:
		return "pcm_alaw", fromG711(ALawToLinear)
	case tag == 7 && size == 1:
		return "pcm_mulaw", fromG711(MuLawToLinear)
	}
	return "", nil
}

func fromU8(dst []float32, src []byte) int {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = float32(int(src[i])-128) * (1.0 / 128)
	}
	return 0
}

func fromS16(dst []float32, src []byte) int {
	src = src[:2*len(dst)]
	for i := range dst {
		dst[i] = float32(int16(binary.LittleEndian.Uint16(src[2*i:]))) * (1.0 / 32768)
	}
	return 0
}

func fromS24(dst []float32, src []byte) int {
	src = src[:3*len(dst)]
	for i := range dst {
		b := src[3*i : 3*i+3 : 3*i+3]
		v := int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24) >> 8
		dst[i] = float32(v) * (1.0 / (1 << 23))
	}
	return 0
}

func fromS32(dst []float32, src []byte) int {
	src = src[:4*len(dst)]
	for i := range dst {
		dst[i] = float32(int32(binary.LittleEndian.Uint32(src[4*i:]))) * (1.0 / (1 << 31))
	}
	return 0
}

// maxFloat bounds float samples, at 60 dB above full scale. Larger values mean a damaged or mislabelled file, and would
// ring through a filter.
const maxFloat = 1000

func fromF32(dst []float32, src []byte) int {
	src = src[:4*len(dst)]
	bad := 0
	for i := range dst {
		x := math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		if !(x >= -maxFloat && x <= maxFloat) {
			x, bad = 0, bad+1
		}
		dst[i] = x
	}
	return bad
}

func fromF64(dst []float32, src []byte) int {
	src = src[:8*len(dst)]
	bad := 0
	for i := range dst {
		x := math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		if !(x >= -maxFloat && x <= maxFloat) {
			x, bad = 0, bad+1
		}
		dst[i] = float32(x)
	}
	return bad
}

func fromG711(expand func(byte) int16) func([]float32, []byte) int {
	var table [256]float32
	for i := range table {
		table[i] = float32(expand(byte(i))) * (1.0 / 32768)
	}
	return func(dst []float32, src []byte) int {
		src = src[:len(dst)]
		for i, code := range src {
			dst[i] = table[code]
		}
		return 0
	}
}
