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

// Channels determines the legs that the channels of a recording become.
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
	// OnProgress, if not nil, is called repeatedly with the position in the recording.
	OnProgress func(position time.Duration)
}

// blockLength is the audio that is decoded in one step.
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
	unheard := &unheardChannels{choice: r.Channels}
	err = r.read(ctx, src, lanes, unheard)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	account := encode.AccountOf(src)
	if warning := unheard.book(&account, src.Format(), lanes); warning != "" {
		call.Warn(warning)
	}
	for _, l := range lanes {
		err = errors.Join(err, l.end(ctx, account))
	}
	if d := encode.DamageOf(src); d.Events > 0 {
		call.Warn(fmt.Sprintf("the recording is damaged in %d places; %v of audio could not be decoded and was replaced by silence",
			d.Events, account.DamagedTime.Round(time.Millisecond)))
	}
	for _, warning := range unreadWarnings(account) {
		call.Warn(warning)
	}
	if err := account.Check(); err != nil {
		call.Warn(err.Error()) // a defect of the reader
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

func (r *Replay) read(ctx context.Context, src encode.Source, lanes []*lane, unheard *unheardChannels) error {
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
		unheard.count(block[:n], format.Channels)
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
