package capture

// fill writes the gap of some samples before a packet. The lost part of it is concealed up to the limit of the concealer;
// the rest is silence.
func (l *Leg) fill(gap int64, s *slot, fresh bool) {
	t := &l.timeline
	lost := gap
	switch {
	case fresh: // whether audio was sent between two streams is unknown: it counts as lost, not as silence
	case l.missing == 0:
		lost = 0
	case t.packet > 0:
		lost = min(gap, l.missing*t.packet)
	}
	silent := gap - lost
	if lost > 0 && !fresh {
		lost -= l.recover(lost, s)
	}
	if lost > 0 {
		l.sink.Gap(lost, true)
		l.stat.Lost += lost
	}
	if silent > 0 {
		l.sink.Gap(silent, false)
		l.stat.Silent += silent
		l.conceal.reset()
	}
	t.pos += gap
}

// recover writes audio for lost samples and returns for how many of them.
func (l *Leg) recover(lost int64, s *slot) int64 {
	decoder, able := s.format.Decoder.(Recoverer)
	n := min(lost, int64(l.conceal.left()))
	if !able {
		if n <= 0 {
			return 0
		}
		l.pcm = l.conceal.conceal(l.pcm[:0], int(n))
		l.madeUp(l.pcm)
		return n
	}
	// The packet may hold a copy of the one before it (in-band FEC). Anything further back can only be extrapolated.
	copyOf := min(lost, l.timeline.packet)
	done := int64(0)
	if guess := min(n, lost-copyOf); guess > 0 {
		if pcm, _, err := decoder.Recover(l.pcm[:0], int(guess), nil); err == nil && int64(len(pcm)) == guess {
			l.pcm = pcm[:0]
			l.madeUp(pcm)
			l.conceal.run += int(guess)
			done = guess
		}
	}
	if between := lost - copyOf - done; between > 0 {
		l.sink.Gap(between, true)
		l.stat.Lost += between
		done += between
	}
	pcm, fec, err := decoder.Recover(l.pcm[:0], int(copyOf), s.payload)
	switch {
	case err != nil || int64(len(pcm)) != copyOf:
		return done
	case fec:
		l.pcm = pcm[:0]
		l.stat.Repaired++
		l.stat.Decoded += copyOf
		l.sink.Write(pcm)
	default:
		l.pcm = pcm[:0]
		l.madeUp(pcm)
	}
	return done + copyOf
}

func (l *Leg) madeUp(pcm []int16) {
	l.stat.Concealed += int64(len(pcm))
	l.stat.Lost += int64(len(pcm))
	l.sink.Conceal(pcm)
}
