package vad

// gate passes the frames that stand out from the background of the leg, and for a moment those after them. It spares the
// network the pauses, which are most of a leg; it does not decide what is speech.
type gate struct {
	floor float32 // energy of the background, by its quietest frames
	open  int     // frames for which it stays open
}

const (
	// Energies are means of squares of 16-bit samples.
	inaudible = 8 * 8     // -72 dBFS: nothing below it passes
	audible   = 104 * 104 // -50 dBFS: from here on a sound is loud enough to have a name
	margin    = 2         // 3 dB above the background opens the gate
	stayOpen  = 10        // frames, 320 ms: the fading end of a word is not above the margin
	rise      = 1.011     // a frame: the background may grow by 1.5 dB a second, more slowly than any speech pauses
)

func (g *gate) reset() { *g = gate{floor: 1 << 30} }

// judge tells whether a frame passes, and whether it is loud.
func (g *gate) judge(frame []int16) (open, loud bool) {
	energy, mean := float32(0), float32(0)
	for _, s := range frame {
		x := float32(s)
		energy += x * x
		mean += x
	}
	n := float32(len(frame))
	mean /= n
	energy = max(energy/n-mean*mean, 0) // a constant is no sound
	first := g.floor == 1<<30
	g.floor = min(g.floor*rise, max(energy, 1))
	if first {
		g.floor = min(g.floor, audible/100) // the first frame may be in the middle of a word
	}
	if energy >= inaudible && energy > margin*g.floor {
		g.open = stayOpen
	} else if g.open > 0 {
		g.open--
	}
	return g.open > 0 && energy >= inaudible/4, energy >= audible
}
