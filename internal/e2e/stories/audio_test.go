package stories_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/demo"
)

// markerHz is the tone of the synthetic fixtures. Audio with the tone is synthetic speech.
const markerHz = 3000

// voice is human speech at a rate, from the fixture.
type voice struct {
	rate int
	pcm  []int16
}

// voices holds the fixture at the rates of the codecs.
var voices = sync.OnceValue(func() map[int]voice {
	data, err := os.ReadFile("../../../testdata/audio/human.wav")
	if err != nil {
		panic(err)
	}
	wide := make([]int16, (len(data)-44)/2)
	for i := range wide {
		wide[i] = int16(binary.LittleEndian.Uint16(data[44+2*i:]))
	}
	narrow := make([]int16, len(wide)/2)
	for i := range narrow {
		narrow[i] = int16((int(wide[2*i]) + int(wide[2*i+1])) / 2)
	}
	return map[int]voice{16000: {16000, wide}, 8000: {8000, narrow}}
})

// at appends d of the voice from a place in it, with the tone under it if synthetic is set.
func (v voice) at(dst []int16, place, d time.Duration, synthetic bool) []int16 {
	n := int(d.Seconds() * float64(v.rate))
	from := int(place.Seconds() * float64(v.rate))
	for i := range n {
		s := float64(v.pcm[(from+i)%len(v.pcm)])
		if synthetic {
			s = s/2 + 4000*math.Sin(2*math.Pi*markerHz*float64(from+i)/float64(v.rate))
		}
		dst = append(dst, int16(s))
	}
	return dst
}

// toneIn returns the time of the tone in audio, in blocks of 20 ms: most of the energy near the tone is at the tone.
func toneIn(pcm []int16, rate int) (sum time.Duration) {
	size := rate / 50
	power := func(block []int16, hz float64) float64 {
		c := 2 * math.Cos(2*math.Pi*hz/float64(rate))
		var s1, s2 float64
		for _, v := range block {
			s1, s2 = float64(v)+c*s1-s2, s1
		}
		return s1*s1 + s2*s2 - c*s1*s2
	}
	floor := 300 * float64(size) / 2
	for ; len(pcm) >= size; pcm = pcm[size:] {
		at := power(pcm[:size], markerHz)
		if at > floor*floor && at > 4*(power(pcm[:size], markerHz-200)+power(pcm[:size], markerHz+200)) {
			sum += 20 * time.Millisecond
		}
	}
	return sum
}

// energy is a detector that takes loud frames for speech.
type energy int

func (e energy) FrameSize() int { return int(e) / 50 }
func (e energy) Reset()         {}
func (e energy) Classify(frame []int16) capture.Sound {
	sum := 0.0
	for _, s := range frame {
		sum += float64(s) * float64(s)
	}
	if sum > 200*200*float64(len(frame)) {
		return capture.Speech
	}
	return capture.Silence
}

// codec is a codec that senders of stories use.
type codec struct {
	name  string
	pt    uint8
	clock int // of RTP, in Hz
	rate  int // of the audio
}

var codecs = []codec{
	{"audio/PCMU", 0, 8000, 8000},
	{"audio/PCMA", 8, 8000, 8000},
	{"audio/G722", 9, 8000, 16000},
	{"audio/opus", opusType, 48000, 16000},
}

const opusType = 111

// opusPackets returns the packets of the two voices of the demo, of 20 ms each. The second has the tone under it.
var opusPackets = sync.OnceValue(func() (packets [2][][]byte) {
	for i, file := range [][]byte{demo.Human, demo.Synthetic} {
		r, err := encode.NewOggReader(bytes.NewReader(file))
		if err != nil {
			panic(err)
		}
		for {
			p, _, err := r.NextPacket()
			if err == io.EOF {
				break
			}
			if err != nil {
				panic(err)
			}
			packets[i] = append(packets[i], bytes.Clone(p))
		}
	}
	return packets
})

// opusSilence is a frame of 20 ms without sound.
var opusSilence = []byte{0xf8, 0xff, 0xfe}

// opusPacket returns the packet of a voice at a place in it.
func opusPacket(place time.Duration, synthetic bool) []byte {
	packets := opusPackets()[0]
	if synthetic {
		packets = opusPackets()[1]
	}
	return packets[int(place/step)%len(packets)]
}

// encoder encodes the audio of one stream.
type encoder struct {
	codec
	wide *encode.G722Encoder
}

func newEncoder(c codec) *encoder { return &encoder{codec: c, wide: encode.NewG722Encoder()} }

func (e *encoder) encode(pcm []int16) []byte {
	switch e.pt {
	case 0:
		return encode.EncodeMuLaw(nil, pcm)
	case 8, 97:
		return encode.EncodeALaw(nil, pcm)
	}
	return e.wide.Encode(nil, pcm)
}

// packetOf returns the packet with d of the voice of a party from a place in it.
func (e *encoder) packetOf(place, d time.Duration, sounds sound) []byte {
	if e.pt == opusType {
		if sounds == noVoice {
			return opusSilence
		}
		return opusPacket(place, sounds == syntheticVoice)
	}
	pcm := voices()[e.rate].at(nil, place, d, sounds == syntheticVoice)
	if sounds == noVoice {
		clear(pcm)
	}
	return e.encode(pcm)
}

// sound is the content of a packet.
type sound int

const (
	humanVoice sound = iota
	syntheticVoice
	noVoice
)
