package policy

import "time"

// Account is the ledger of one leg as far as the rules read it: the audio that was sent, by what became of it. All
// durations are sums over the call.
type Account struct {
	Leg string
	// Recorded is the audio that was received and decoded. It includes silence that the sender declared.
	Recorded time.Duration
	// Noise is the part of Recorded that is neither speech nor silence, tone or music.
	Noise time.Duration
	// Lost is the audio that never arrived.
	Lost time.Duration
	// Paused is the audio that was discarded at a person's or a program's request.
	Paused time.Duration
	// Unheard is the audio that arrived, or stands in the file, and was not recorded, by reason.
	Unheard map[string]time.Duration
	// Interrupted reports that the connection of the leg broke and did not come back.
	Interrupted bool
}

// unheard returns the sum of Unheard.
func (a Account) unheard() (sum time.Duration) {
	for _, d := range a.Unheard {
		sum += d
	}
	return sum
}

// Limit bounds a duration by an absolute value or by a share of a whole, whichever is more.
type Limit struct {
	Absolute time.Duration `yaml:"seconds"`
	Share    float64       `yaml:"share"` // 0..1
}

// exceeded reports whether part is above the limit.
func (l Limit) exceeded(part, whole time.Duration) bool {
	return part > l.Absolute && float64(part) > l.Share*float64(whole)
}

// accountReasons adds the reasons of the ledger against a clear outcome of a leg. unanalysed is the speech that was
// recorded and not analysed, apart from what the operator chose to leave out.
func (p Policy) accountReasons(a Account, unanalysed time.Duration, reasons map[string]bool) {
	unheard := a.unheard()
	whole := a.Recorded + a.Lost + unheard
	if p.MaxUnheard.exceeded(unheard+unanalysed, whole) {
		for reason, d := range a.Unheard {
			if d > 0 {
				reasons[reason] = true
			}
		}
		if len(a.Unheard) == 0 || unanalysed > unheard {
			reasons[ReasonTooLittleCoverage] = true
		}
	}
	if a.Lost > 0 && float64(a.Lost) > p.MaxLost*float64(whole) {
		reasons[ReasonLost] = true
	}
	if a.Paused > p.MaxPaused {
		reasons[ReasonPaused] = true
	}
	if a.Interrupted {
		reasons[ReasonInterrupted] = true
	}
}

// minNoise is the noise of a leg without speech from which on the leg was not merely quiet.
const minNoise = 3 * time.Second

// minReceived is the audio of a leg without speech below which it was not received: a stray packet is not a quiet leg.
const minReceived = 500 * time.Millisecond

// silent reports whether a leg without speech was received, decoded and quiet, and why not otherwise.
func (p Policy) silent(a Account) (reason string, ok bool) {
	switch {
	case a.unheard() > 0 && a.Recorded == 0:
		return firstReason(a.Unheard), false
	case a.Recorded < minReceived:
		return ReasonNoAudio, false
	case a.Noise >= minNoise:
		return ReasonNoise, false
	}
	return "", true
}

// firstReason returns the reason with the longest duration, the first by name among equals.
func firstReason(unheard map[string]time.Duration) (reason string) {
	longest := time.Duration(-1)
	for r, d := range unheard {
		if d > longest || d == longest && r < reason {
			reason, longest = r, d
		}
	}
	return reason
}
