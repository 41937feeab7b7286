package replay

import (
	"fmt"
	"time"

	"callscreen/capture"
	"callscreen/encode"
)

// unheardChannels counts the sound of a recording that reaches no leg because of the choice of channels.
type unheardChannels struct {
	choice Channels
	frames int64 // with sound in a channel that was left out
}

// quiet is the power below which a channel that was left out is silent, -50 dBFS.
const quiet = 1e-5

// count takes a block of frames.
func (u *unheardChannels) count(block []float32, channels int) {
	if u.choice.kind != single || len(block) == 0 {
		return
	}
	for ch := range channels {
		if ch == u.choice.index || sameChannels(block, channels, u.choice.index, ch) {
			continue
		}
		var sum float64
		for i := ch; i < len(block); i += channels {
			sum += float64(block[i]) * float64(block[i])
		}
		if sum > quiet*float64(len(block)/channels) {
			u.frames += int64(len(block) / channels)
			return
		}
	}
}

// book books the sound that was counted, and returns a warning or "".
func (u *unheardChannels) book(account *encode.Account, format encode.Format, lanes []*lane) string {
	switch u.choice.kind {
	case single:
		if d := capture.Duration(u.frames, format.Rate); d > 0 {
			account.LeaveOut(encode.OtherChannel, 1-1/float64(format.Channels), d)
			return fmt.Sprintf("channel %d of %d was chosen; the others have %.1f s of sound", u.choice.index, format.Channels, d.Seconds())
		}
	case mix:
		var lost time.Duration
		for _, l := range lanes {
			lost += capture.Duration(l.mixer.Lost(), format.Rate)
		}
		if lost > 0 {
			account.LeaveOut(encode.CancelledInMix, 0.5, lost)
			return fmt.Sprintf("the channels cancel each other in the mix for %.1f s (hint: --channels split)", lost.Seconds())
		}
	}
	return ""
}
