package vad

import (
	"fmt"
	"math"

	"callscreen/capture"
)

// Options tune a Detector. A zero value selects the default.
type Options struct {
	// Start is the lowest probability of a frame that starts speech. Default 0.5.
	Start float32
	// Continue is the lowest probability of a frame that continues speech. Default 0.35.
	Continue float32
}

// Detector detects speech in one leg. It implements capture.VAD. It is not safe for concurrent use. Its methods do not
// allocate.
type Detector struct {
	opt     Options
	net     *network
	gate    gate
	before  [][]int16 // ring of the last frames that the closed gate kept from the network
	held    int       // how many of them
	offset  float32   // DC offset of the leg
	level   []int16   // frame without it
	next    int       // where the next one goes
	talking bool
}

var _ capture.VAD = (*Detector)(nil)

// lookBack is the number of frames before the gate opened that the network processes: enough for its state to be that of
// the silence before the sound.
const lookBack = 6

// New returns a detector for audio at 8,000 or 16,000 Hz. nil options select the defaults.
func New(rate int, opts *Options) (*Detector, error) {
	d := &Detector{}
	if opts != nil {
		d.opt = *opts
	}
	if d.opt.Start == 0 {
		d.opt.Start = 0.5
	}
	if d.opt.Continue == 0 {
		d.opt.Continue = min(0.35, d.opt.Start)
	}
	if d.opt.Start < 0 || d.opt.Start > 1 || d.opt.Continue < 0 || d.opt.Continue > d.opt.Start {
		return nil, fmt.Errorf(
			"speech detection: start %v and continue %v are not within 0..1 with continue <= start",
			d.opt.Start,
			d.opt.Continue,
		)
	}
	switch rate {
	case 16000:
		d.net = newNetwork(models()[0], fastest)
	case 8000:
		d.net = newNetwork(models()[1], fastest)
	default:
		return nil, fmt.Errorf("speech detection: sample rate %d Hz is not 8000 or 16000", rate)
	}
	for range lookBack {
		d.before = append(d.before, make([]int16, d.net.frame))
	}
	d.Reset()
	return d, nil
}

// FrameSize returns 32 ms in samples: 512 at 16 kHz, 256 at 8 kHz.
func (d *Detector) FrameSize() int { return d.net.frame }

// Reset drops the state of gate and network.
func (d *Detector) Reset() {
	d.net.reset()
	d.gate.reset()
	d.held, d.next, d.talking, d.offset = 0, 0, false, 0
}

const (
	// largestOffset is the DC offset that the network is not given: it takes speech on a large one for a tone. Audio without a fault
	// of the sender has less than -34 dBFS.
	largestOffset = 655
	offsetMemory  = 0.2 // share of a frame in the mean
)

// withoutOffset returns a frame without a large DC offset. Other frames stay as they are.
func (d *Detector) withoutOffset(frame []int16) []int16 {
	sum := 0
	for _, s := range frame {
		sum += int(s)
	}
	d.offset += float32(offsetMemory * (float32(sum)/float32(len(frame)) - d.offset))
	if d.offset > -largestOffset && d.offset < largestOffset {
		return frame
	}
	d.level = d.level[:0]
	for _, s := range frame {
		d.level = append(d.level, int16(max(min(float32(s)-d.offset, math.MaxInt16), math.MinInt16)))
	}
	return d.level
}

// Probability returns the network's probability of speech in the next frame, without gate and thresholds. It advances the
// state of the network as Classify does: use one of the two on a detector. frame must have FrameSize samples.
func (d *Detector) Probability(frame []int16) float32 {
	d.net.load(frame)
	d.net.analyze()
	return d.net.infer()
}

// Classify returns the class of the next frame, mono 16-bit PCM of FrameSize samples. A shorter frame is a programming
// error and panics.
func (d *Detector) Classify(frame []int16) capture.Sound {
	frame = d.withoutOffset(frame[:d.net.frame:d.net.frame])
	open, loud := d.gate.judge(frame)
	if !open {
		d.talking = false
		copy(d.before[d.next], frame)
		d.next = (d.next + 1) % lookBack
		d.held = min(d.held+1, lookBack)
		if !loud {
			return capture.Silence
		}
		// Steady and loud: a dial tone is reported, line noise is not.
		d.net.load(frame)
		d.net.analyze()
		if steady(d.net) == capture.Tone {
			return capture.Tone
		}
		return capture.Silence
	}
	for ; d.held > 0; d.held-- {
		d.Probability(d.before[(d.next-d.held+lookBack)%lookBack])
	}
	p := d.Probability(frame)
	if p >= d.opt.Start || d.talking && p >= d.opt.Continue {
		d.talking = true
		return capture.Speech
	}
	d.talking = false
	if !loud {
		return capture.Silence
	}
	return steady(d.net)
}
