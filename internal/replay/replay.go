package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/wait"
)

// Channels says how the channels of a recording become legs.
type Channels struct {
	kind  channelsKind
	index int
}

type channelsKind uint8

const (
	split channelsKind = iota
	mix
	single
)

// ParseChannels reads "split" (each channel is a leg), "mix" (all channels are one leg), or the number of a channel.
func ParseChannels(s string) (Channels, error) {
	switch s {
	case "", "split":
		return Channels{kind: split}, nil
	case "mix":
		return Channels{kind: mix}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return Channels{}, fmt.Errorf("%q is not split, mix or the number of a channel", s)
	}
	return Channels{kind: single, index: n}, nil
}

// Replay screens a recording as if it were a call.
type Replay struct {
	Channels Channels
	Legs     []string // names of the channels, in order; further ones are called "leg3", "leg4", ...
	Realtime bool     // take as long as the call did
	Segment  capture.SegmenterConfig
	NewVAD   func() (capture.VAD, error) // a detector for one leg, at the rate of Segment
	Intake   Intake
	// OnProgress, if not nil, is called now and then with how much of the recording was read.
	OnProgress func(position time.Duration)
}

// blockLength is how much audio is decoded in one step.
const blockLength = 200 * time.Millisecond

// File reads a recording to its end into a call, and ends the call. It returns when everything is read, which is before
// everything is analysed. On an error, what was read before stays part of the call.
func (r *Replay) File(ctx context.Context, call *Call, path string) error {
	defer call.End()
	src, err := encode.Open(ctx, path, nil)
	if err != nil {
		return err
	}
	defer src.Close()
	lanes, err := r.lanes(call, src.Format())
	if err != nil {
		return err
	}
	err = r.read(ctx, src, lanes)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, l := range lanes {
		err = errors.Join(err, l.end(ctx))
	}
	if d := encode.DamageOf(src); d.Events > 0 {
		lost := capture.Duration(d.Lost, src.Format().Rate)
		for _, l := range lanes {
			l.leg.Damaged(lost)
		}
		call.Warn(fmt.Sprintf("the recording is damaged in %d places; %v of it could not be decoded and are silence", d.Events, lost))
	}
	for _, warning := range unreadWarnings(encode.AccountOf(src)) {
		call.Warn(warning)
	}
	if errors.Is(err, encode.ErrTruncated) {
		call.Warn("the recording is truncated; what is there was screened")
		return nil
	}
	return err
}

// unreadWarnings returns a warning for each reason for which audio of a recording was not read.
func unreadWarnings(account encode.Account) (warnings []string) {
	for _, reason := range slices.Sorted(maps.Keys(account.Unread)) {
		warnings = append(warnings, fmt.Sprintf("%.1f s of the recording was not read: %s (%d bytes)",
			account.UnreadTime[reason].Seconds(), reason, account.Unread[reason]))
	}
	return warnings
}

func (r *Replay) read(ctx context.Context, src encode.Source, lanes []*lane) error {
	format := src.Format()
	frames := max(int(blockLength*time.Duration(format.Rate)/time.Second), 1)
	block := make([]float32, frames*format.Channels)
	position := int64(0)
	start := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := src.Read(block)
		for _, l := range lanes {
			if err := l.write(ctx, block[:n], format.Channels); err != nil {
				return err
			}
		}
		position += int64(n / format.Channels)
		at := capture.Duration(position, format.Rate)
		if r.OnProgress != nil {
			r.OnProgress(at)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Realtime {
			if err := wait.For(ctx, at-time.Since(start)); err != nil {
				return err
			}
		}
	}
}

// lanes makes a leg for each channel that is wanted.
func (r *Replay) lanes(call *Call, format encode.Format) (lanes []*lane, err error) {
	add := func(name string, channel int) error {
		vad, err := r.NewVAD()
		if err != nil {
			return fmt.Errorf("detect speech in leg %s of call %s: %w", name, call.ID(), err)
		}
		leg, err := NewLeg(call, name, vad, r.Segment, r.Intake)
		if err != nil {
			return err
		}
		resampler, err := encode.NewResampler(format.Rate, r.Segment.Rate)
		if err != nil {
			return err
		}
		lanes = append(lanes, &lane{channel: channel, resampler: resampler, leg: leg})
		return nil
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

// lane is the way of one channel from the file to its leg. Its buffers are reused from block to block.
type lane struct {
	channel   int // -1 for the mean of all
	resampler *encode.Resampler
	leg       *Leg
	mono      []float32
	resampled []float32
	pcm       []int16
}

func (l *lane) write(ctx context.Context, block []float32, channels int) error {
	if l.channel < 0 {
		l.mono = encode.Downmix(l.mono[:0], block, channels)
	} else {
		l.mono = encode.Deinterleave(l.mono[:0], block, channels, l.channel)
	}
	l.resampled = l.resampler.Process(l.resampled[:0], l.mono)
	return l.deliver(ctx)
}

func (l *lane) deliver(ctx context.Context) error {
	if cap(l.pcm) < len(l.resampled) {
		l.pcm = make([]int16, len(l.resampled))
	}
	l.pcm = l.pcm[:len(l.resampled)]
	encode.ToInt16(l.pcm, l.resampled)
	return l.leg.Write(ctx, l.pcm)
}

func (l *lane) end(ctx context.Context) error {
	l.resampled = l.resampler.Flush(l.resampled[:0])
	if err := l.deliver(ctx); err != nil {
		return err
	}
	return l.leg.End(ctx)
}
