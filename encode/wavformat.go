package encode

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// minReadRate is the lowest rate (Hz) of a recording that is read.
const minReadRate = 1_000

const maxChannels = 64

// wavSpec describes the samples of a data chunk.
type wavSpec struct {
	format  Format
	convert func(dst []float32, src []byte) (bad int)
	align   int  // bytes per frame
	swap    bool // the samples are big-endian
	padded  int  // bytes of padding below each sample, if the block align is to be believed
}

// same reports whether audio of both can be read as one stream.
func (s wavSpec) same(o wavSpec) bool {
	return s.format == o.format && s.align == o.align && s.swap == o.swap
}

// parseWAVFormat reads the fields of a fmt chunk: tag, channels, rate, bytes per second, bytes per frame, bits per sample,
// and for WAVE_FORMAT_EXTENSIBLE the sub-format, a GUID that starts with the tag.
func parseWAVFormat(f []byte, order binary.ByteOrder) (spec wavSpec, err error) {
	tag := order.Uint16(f)
	channels := int(order.Uint16(f[2:]))
	rate := int64(order.Uint32(f[4:]))
	spec.align = int(order.Uint16(f[12:]))
	bits := 8
	if len(f) >= 16 {
		bits = int(order.Uint16(f[14:]))
	}
	if tag == 0xfffe {
		if len(f) < 40 {
			return spec, fmt.Errorf("extensible fmt chunk has %d bytes, needs 40", len(f))
		}
		// The GUID is xxxxxxxx-0000-0010-8000-00aa00389b71, its first number being the tag.
		if order.Uint16(f[26:]) != 0 || !bytes.Equal(f[32:40], []byte("\x80\x00\x00\xaa\x00\x38\x9b\x71")) {
			return spec, unsupported("WAV with sub-format %x", f[24:40])
		}
		tag = order.Uint16(f[24:])
	}
	if name := compressedName(tag); name != "" {
		return spec, unsupported("%s in WAV", name)
	}
	size := (bits + 7) / 8
	switch {
	case tag != 1 && tag != 3 && tag != 6 && tag != 7:
		return spec, unsupported("WAV format 0x%04x", tag)
	case channels < 1 || channels > maxChannels:
		return spec, fmt.Errorf("%d channels, must be 1 to %d", channels, maxChannels)
	case rate < minReadRate || rate > maxRate:
		return spec, fmt.Errorf("rate is %d Hz, must be %d to %d", rate, minReadRate, maxRate)
	case bits < 1 || bits > 64:
		return spec, fmt.Errorf("%d bits per sample, must be 1 to 64", bits)
	case spec.align%channels != 0 || spec.align/channels < size:
		return spec, fmt.Errorf("%d channels of %d bits do not fit frames of %d bytes", channels, bits, spec.align)
	}
	spec.padded = spec.align/channels - size
	// Samples of fewer bits are left-justified in their container, so the container is decoded.
	codec, convert := sampleFormat(tag, spec.align/channels)
	if spec.padded > 0 && (convert == nil || size != 3) {
		// Only 24 bits in four bytes occur. In other cases the block align is wrong, and samples are packed.
		spec.padded, spec.align = 0, channels*size
		codec, convert = sampleFormat(tag, size)
	}
	if convert == nil {
		return spec, unsupported("WAV format 0x%04x with %d bits", tag, bits)
	}
	if spec.swap = order == binary.BigEndian; spec.swap {
		codec = bigEndianCodec(codec)
	}
	spec.convert = convert
	spec.format = Format{Rate: int(rate), Channels: channels, Container: "wav", Codec: codec}
	return spec, nil
}

// bigEndianCodec returns the name of the big-endian variant of a sample format.
func bigEndianCodec(codec string) string {
	if base, ok := bytes.CutSuffix([]byte(codec), []byte("le")); ok {
		return string(base) + "be"
	}
	return codec
}

// packed returns the spec for samples that follow each other without padding.
func (s wavSpec) packed() wavSpec {
	size := s.align/s.format.Channels - s.padded
	s.align, s.padded = s.format.Channels*size, 0
	tag := uint16(1)
	switch s.format.Codec {
	case "pcm_f32le", "pcm_f64le", "pcm_f32be", "pcm_f64be":
		tag = 3
	}
	codec, convert := sampleFormat(tag, size)
	if convert == nil {
		return wavSpec{}
	}
	if s.swap {
		codec = bigEndianCodec(codec)
	}
	s.format.Codec, s.convert = codec, convert
	return s
}

// paddingOf judges a block of samples that would have padding if the block align is right: used is true if a padding byte
// is not zero, and silent is true if all bytes are zero.
func (s wavSpec) paddingOf(b []byte) (used, silent bool) {
	container := s.align / s.format.Channels
	silent = true
	for ; len(b) >= container; b = b[container:] {
		pad, value := b[:s.padded], b[s.padded:container]
		if s.swap {
			pad, value = b[container-s.padded:container], b[:container-s.padded]
		}
		if !isZero(pad) {
			return true, false
		}
		silent = silent && isZero(value)
	}
	return false, silent
}

// compressedName returns the name of a codec that occurs in telephony recordings and is not decoded in Go, or "".
func compressedName(tag uint16) string {
	switch tag {
	case 0x02:
		return "Microsoft ADPCM"
	case 0x11:
		return "IMA ADPCM"
	case 0x22:
		return "TrueSpeech"
	case 0x31:
		return "GSM 6.10"
	case 0x40, 0x45, 0x64, 0x14:
		return "G.726"
	case 0x42:
		return "G.723.1"
	case 0x50:
		return "MPEG layer 2"
	case 0x55:
		return "MP3"
	case 0x83:
		return "G.729"
	case 0xff, 0x1610:
		return "AAC"
	case 0x28f:
		return "G.722"
	}
	return ""
}
