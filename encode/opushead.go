package encode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// opusHead is an identification header of Opus (RFC 7845, section 5.1), from "OpusHead" on.
type opusHead []byte

// leastGain is the gain in dB below which a header makes a voice inaudible. Some players apply the gain, others do not.
const leastGain = -20

// opusHeadOf returns the header in the form of Ogg for a box of MPEG-4, whose numbers have the other byte order.
func opusHeadOf(box []byte) opusHead {
	if len(box) < 11 {
		return nil
	}
	b := slices.Concat([]byte("OpusHead"), box)
	b[8] = 1
	slices.Reverse(b[10:12])
	slices.Reverse(b[12:16])
	slices.Reverse(b[16:18])
	return b
}

// problem returns how the header hides audio, or "". It may leave out a coded channel, or make all of them very quiet.
func (b opusHead) problem() string {
	if len(b) < 19 || !bytes.HasPrefix(b, []byte("OpusHead")) {
		return ""
	}
	if gain := float64(int16(binary.LittleEndian.Uint16(b[16:]))) / 256; gain < leastGain {
		return fmt.Sprintf("an Opus header with a gain of %.0f dB", gain)
	}
	channels := int(b[9])
	if b[18] == 0 || len(b) < 21+channels {
		return ""
	}
	for coded := range int(b[19]) + int(b[20]) {
		if !bytes.Contains(b[21:21+channels], []byte{byte(coded)}) {
			return "an Opus header that maps a coded channel to no output"
		}
	}
	return ""
}
