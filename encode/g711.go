package encode

// G.711 (ITU-T G.711, 11/88) has 8 bits per sample, at 8,000 Hz on a telephone line. Codes are expanded to 16 bits as is
// usual: the 13-bit A-law and 14-bit mu-law values are left-justified.

// ALawToLinear expands one A-law code to 16-bit PCM.
func ALawToLinear(code byte) int16 {
	code ^= 0x55
	v := int(code&0x0f)<<4 | 8
	if seg := code >> 4 & 7; seg > 0 {
		v = (v | 0x100) << (seg - 1)
	}
	if code&0x80 == 0 {
		v = -v
	}
	return int16(v)
}

// MuLawToLinear expands one mu-law code to 16-bit PCM.
func MuLawToLinear(code byte) int16 {
	code = ^code
	v := (int(code&0x0f)<<3|muLawBias)<<(code>>4&7) - muLawBias
	if code&0x80 != 0 {
		v = -v
	}
	return int16(v)
}

const muLawBias = 0x84

// LinearToALaw returns the A-law code of the interval that contains x.
func LinearToALaw(x int16) byte {
	v, sign := int(x), byte(0x80)
	if v < 0 {
		v, sign = ^v, 0 // the two halves are mirrored around -1/2
	}
	seg := byte(0)
	for top := v >> 8; top != 0; top >>= 1 {
		seg++
	}
	shift := max(seg, 1) + 3
	return (sign | seg<<4 | byte(v>>shift)&0x0f) ^ 0x55
}

// LinearToMuLaw returns the mu-law code of the interval that contains x.
func LinearToMuLaw(x int16) byte {
	v, sign := int(x), byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v+muLawBias, 0x7fff)
	seg := byte(0)
	for top := v >> 8; top != 0; top >>= 1 {
		seg++
	}
	return ^(sign | seg<<4 | byte(v>>(seg+3))&0x0f)
}

// ALawDecoder expands A-law, one code to one 16-bit sample. It keeps no state between calls and is safe for concurrent use.
type ALawDecoder struct{ table [256]int16 }

// NewALawDecoder returns an ALawDecoder.
func NewALawDecoder() *ALawDecoder {
	d := new(ALawDecoder)
	for i := range d.table {
		d.table[i] = ALawToLinear(byte(i))
	}
	return d
}

// Decode appends the samples of src to dst and returns it.
func (d *ALawDecoder) Decode(dst []int16, src []byte) []int16 { return expand(dst, src, &d.table) }

// MuLawDecoder expands mu-law, one code to one 16-bit sample. It keeps no state between calls and is safe for concurrent
// use.
type MuLawDecoder struct{ table [256]int16 }

// NewMuLawDecoder returns a MuLawDecoder.
func NewMuLawDecoder() *MuLawDecoder {
	d := new(MuLawDecoder)
	for i := range d.table {
		d.table[i] = MuLawToLinear(byte(i))
	}
	return d
}

// Decode appends the samples of src to dst and returns it.
func (d *MuLawDecoder) Decode(dst []int16, src []byte) []int16 { return expand(dst, src, &d.table) }

func expand(dst []int16, src []byte, table *[256]int16) []int16 {
	for _, code := range src {
		dst = append(dst, table[code])
	}
	return dst
}

// EncodeALaw appends the A-law codes of src to dst and returns it.
func EncodeALaw(dst []byte, src []int16) []byte {
	for _, x := range src {
		dst = append(dst, LinearToALaw(x))
	}
	return dst
}

// EncodeMuLaw appends the mu-law codes of src to dst and returns it.
func EncodeMuLaw(dst []byte, src []int16) []byte {
	for _, x := range src {
		dst = append(dst, LinearToMuLaw(x))
	}
	return dst
}
