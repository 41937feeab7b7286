package replay

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"callscreen/encode"
)

// lanes returns a lane for each channel that is wanted.
func (r *Replay) lanes(call *Call, format encode.Format) (lanes []*lane, err error) {
	add := func(name string, channel int) error {
		vad, err := r.NewVAD()
		if err != nil {
			return fmt.Errorf("detect speech in leg %s of call %s: %w", name, call.ID(), err)
		}
		resampler, err := encode.NewResampler(format.Rate, r.Segment.Rate)
		if err != nil {
			return err
		}
		l := &lane{channel: channel, rates: [2]int{format.Rate, r.Segment.Rate}, resampler: resampler}
		if channel < 0 {
			l.mixer = encode.NewMixer(format.Channels)
		}
		l.open = func() (*LegFeed, error) { return NewLeg(call, name, vad, r.Segment, r.Intake) }
		l.same = func(as int) {
			call.Warn(fmt.Sprintf("mono_source: channel %d is the same as channel %d, and was analysed once", channel, as))
		}
		for _, other := range lanes { // until they differ
			l.twins = append(l.twins, other.channel)
		}
		lanes = append(lanes, l)
		return l.start(context.Background())
	}
	switch r.Channels.kind {
	case mix:
		err = add("mix", -1)
		return lanes, err
	case single:
		if r.Channels.index >= format.Channels {
			return nil, fmt.Errorf("there is no channel %d, the recording has %d (hint: the first channel is 0)", r.Channels.index, format.Channels)
		}
		err = add(r.legName(r.Channels.index), r.Channels.index)
		return lanes, err
	}
	for i := range format.Channels {
		if err := add(r.legName(i), i); err != nil {
			return nil, err
		}
	}
	return lanes, nil
}

func (r *Replay) legName(channel int) string {
	if channel < len(r.Legs) {
		return r.Legs[channel]
	}
	return "leg" + strconv.Itoa(channel+1)
}

// lane passes one channel of a file to its leg. Its buffers are reused from block to block.
type lane struct {
	channel   int           // -1 for the mix of all
	mixer     *encode.Mixer // nil unless channel is -1
	rates     [2]int
	resampler *encode.Resampler
	leg       *LegFeed // nil while the channel is the same as another
	open      func() (*LegFeed, error)
	same      func(as int)
	twins     []int // earlier channels that had the same samples so far
	held      int64 // frames that were the same
	mono      []float32
	resampled []float32
	pcm       []int16
}

// start opens the leg of a channel that differs from all others. The audio before was that of another leg.
func (l *lane) start(ctx context.Context) (err error) {
	if len(l.twins) > 0 || l.leg != nil {
		return nil
	}
	if l.leg, err = l.open(); err != nil || l.held == 0 {
		return err
	}
	return l.leg.Gap(ctx, l.held*int64(l.rates[1])/int64(l.rates[0]), false)
}

func (l *lane) write(ctx context.Context, block []float32, channels int) error {
	if len(l.twins) > 0 {
		l.twins = slices.DeleteFunc(l.twins, func(other int) bool { return !sameChannels(block, channels, other, l.channel) })
		if len(l.twins) > 0 {
			l.held += int64(len(block) / channels)
			return nil
		}
		if err := l.start(ctx); err != nil {
			return err
		}
	}
	if l.channel < 0 {
		l.mono = l.mixer.Mix(l.mono[:0], block)
	} else {
		l.mono = encode.Deinterleave(l.mono[:0], block, channels, l.channel)
	}
	l.resampled = l.resampler.Process(l.resampled[:0], l.mono)
	return l.deliver(ctx)
}

// sameChannels reports whether two channels of a block have the same samples.
func sameChannels(block []float32, channels, a, b int) bool {
	for i := 0; i+channels <= len(block); i += channels {
		if block[i+a] != block[i+b] {
			return false
		}
	}
	return true
}

func (l *lane) deliver(ctx context.Context) error {
	if cap(l.pcm) < len(l.resampled) {
		l.pcm = make([]int16, len(l.resampled))
	}
	l.pcm = l.pcm[:len(l.resampled)]
	encode.ToInt16(l.pcm, l.resampled)
	return l.leg.Write(ctx, l.pcm)
}

// end ends the leg. A channel that was the same as another to the end is not one.
func (l *lane) end(ctx context.Context, account encode.Account) error {
	if l.leg == nil {
		l.same(l.twins[0])
		return nil
	}
	l.resampled = l.resampler.Flush(l.resampled[:0])
	if err := l.deliver(ctx); err != nil {
		return err
	}
	err := l.leg.End(ctx)
	l.leg.Account(account)
	return err
}
