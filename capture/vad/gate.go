package vad

// gate passes the frames that stand out from the background of the leg, and those shortly after them. It keeps the pauses,
// which are most of a leg, from the network. It does not decide whether a frame is speech.
type gate struct {
	floor float32 // energy of the background, from its quietest frames
	open  int     // frames for which the gate stays open
}

const (
	// Energies are means of squares of 16-bit samples.
	inaudible = 8 * 8     // -72 dBFS: no frame below it passes
	audible   = 104 * 104 // -50 dBFS: the least level of a tone, music or noise
	margin    = 2         // 3 dB above the background opens the gate
	stayOpen  = 10        // frames, 320 ms: the decay of a word is below the margin
	rise      = 1.011     // a frame: the background may grow by 1.5 dB a second, slower than speech pauses allow
)

func (g *gate) reset() { *g = gate{floor: 1 << 30} }

// judge reports whether a frame passes and whether it is loud.
func (g *gate) judge(frame []int16) (open, loud bool) {
	energy := variance(frame)
	first := g.floor == 1<<30
	g.floor = min(g.floor*rise, max(energy, 1))
	if first {
		g.floor = min(g.floor, audible/100) // the first frame may lie within a word
	}
	if energy >= inaudible && energy > margin*g.floor {
		g.open = stayOpen
	} else if g.open > 0 {
		g.open--
	}
	return g.open > 0 && energy >= inaudible/4, energy >= audible
}

// variance returns the energy of a frame without its DC offset. The sums of up to 2^15 samples are exact.
func variance(frame []int16) float32 {
	n, sum, squares := int64(len(frame)), int64(0), int64(0)
	for _, s := range frame {
		sum += int64(s)
		squares += int64(s) * int64(s)
	}
	return float32(n*squares-sum*sum) / float32(n*n)
}
