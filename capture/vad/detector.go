package vad

import (
	"fmt"

	"callscreen/capture"
)

// Options tune a Detector. Zero values mean the defaults.
type Options struct {
	// Start is the probability from which on a frame is speech. Default 0.5.
	Start float32
	// Continue is the probability down to which the frames after that stay speech. Default 0.35.
	Continue float32
}

// Detector tells speech from other sounds in one leg. It implements capture.VAD. It is not safe for concurrent use, and
// allocates nothing after it was made.
type Detector struct {
	opt     Options
	net     *network
	gate    gate
	before  [][]int16 // frames that the network has not heard, because the gate was shut; a ring
	held    int       // how many of them
	next    int       // where the next one goes
	talking bool
}

var _ capture.VAD = (*Detector)(nil)

// lookBack is how many frames the network hears of what came before the gate opened: enough for its state to be that of
// the silence before the sound.
const lookBack = 6

// New makes a detector for audio of 8,000 or 16,000 Hz.
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
			"speech detection: start %v and continue %v must lie within 0..1, continue not above start",
			d.opt.Start,
			d.opt.Continue,
		)
	}
	switch rate {
	case 16000:
		d.net = newNetwork(models()[0])
	case 8000:
		d.net = newNetwork(models()[1])
	default:
		return nil, fmt.Errorf("speech detection: runs at 8000 or 16000 Hz, not at %d", rate)
	}
	for range lookBack {
		d.before = append(d.before, make([]int16, d.net.frame))
	}
	d.Reset()
	return d, nil
}

// FrameSize is 32 ms in samples: 512 at 16 kHz, 256 at 8 kHz.
func (d *Detector) FrameSize() int { return d.net.frame }

// Reset forgets what was heard.
func (d *Detector) Reset() {
	d.net.reset()
	d.gate.reset()
	d.held, d.next, d.talking = 0, 0, false
}

// Probability is what the network says about the next frame, without gate and thresholds. It moves the state of the
// network on like Classify does; a detector is used by one of the two. frame must have FrameSize samples.
func (d *Detector) Probability(frame []int16) float32 {
	d.net.load(frame)
	d.net.analyze()
	return d.net.infer()
}

// Classify judges the next frame, mono 16-bit PCM of FrameSize samples. A frame of another size is a mistake in the
// program, and panics.
func (d *Detector) Classify(frame []int16) capture.Sound {
	frame = frame[:d.net.frame:d.net.frame]
	open, loud := d.gate.judge(frame)
	if !open {
		d.talking = false
		copy(d.before[d.next], frame)
		d.next = (d.next + 1) % lookBack
		d.held = min(d.held+1, lookBack)
		if !loud {
			return capture.Silence
		}
		// Steady and loud: a dial tone is worth telling, the noise of a line is not.
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
