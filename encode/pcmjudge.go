package encode

import (
	"encoding/binary"
	"math"
	"strings"
)

// pcmJudge judges PCM that ffmpeg has decoded, by the bytes that it was decoded from.
type pcmJudge struct {
	spec  wavSpec
	judge sampleJudge
	buf   []byte
	bad   int64 // bytes that are not samples
}

// newPCMJudge returns nil for codecs that lose something.
func newPCMJudge(f Format, codec string) *pcmJudge {
	widths := map[string]int{"u8": 1, "s8": 1, "alaw": 1, "mulaw": 1, "s16": 2, "s24": 3, "s32": 3, "f32": 4}
	name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(codec, "pcm_"), "le"), "be")
	switch codec {
	case "flac", "alac", "wavpack", "tta", "ape": // of samples that were already wrong
		codec, name = "pcm_s16", "s16"
	}
	width := widths[name]
	if !strings.HasPrefix(codec, "pcm_") || width == 0 {
		return nil
	}
	f.Codec = "pcm_" + name
	if width > 1 {
		f.Codec += "le"
	}
	spec := wavSpec{format: f, align: width * f.Channels}
	return &pcmJudge{spec: spec, judge: sampleJudge{age: judgeMemory}}
}

// take judges whole frames.
func (p *pcmJudge) take(samples []float32) {
	p.buf = p.buf[:0]
	for _, v := range samples {
		x := float64(v)
		switch p.spec.width() {
		case 1:
			p.buf = append(p.buf, p.byteOf(x))
		case 2:
			p.buf = binary.LittleEndian.AppendUint16(p.buf, uint16(int16(rounded(x*(1<<15), 1<<15))))
		case 3:
			n := int32(rounded(x*(1<<23), 1<<23))
			p.buf = append(p.buf, byte(n), byte(n>>8), byte(n>>16))
		case 4:
			p.buf = binary.LittleEndian.AppendUint32(p.buf, math.Float32bits(v))
		}
	}
	p.judge.take(&p.spec, p.buf)
	p.bad += p.judge.verdict(&p.spec)
}

func (p *pcmJudge) byteOf(x float64) byte {
	switch p.spec.format.Codec {
	case "pcm_mulaw":
		return LinearToMuLaw(int16(rounded(x*(1<<15), 1<<15)))
	case "pcm_alaw":
		return LinearToALaw(int16(rounded(x*(1<<15), 1<<15)))
	case "pcm_s8":
		return byte(int8(rounded(x*(1<<7), 1<<7)))
	}
	return byte(int(rounded(x*(1<<7), 1<<7)) + 128)
}

// rounded rounds a number to a range of integers.
func rounded(x float64, limit float64) float64 {
	return math.Round(max(-limit, min(limit-1, x)))
}
