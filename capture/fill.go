package capture

// fill writes the gap of some samples before a packet. The lost part of it is concealed up to the limit of the concealer;
// the rest is silence.
func (l *Leg) fill(gap int64, st *stream, s *slot, fresh bool) {
	if fresh { // whether audio was sent between two streams is unknown: it is not silence
		l.lose(gap, MissingAbsent)
		return
	}
	missing := st.missing + st.undecoded
	lost := gap
	switch {
	case missing == 0:
		lost = 0
	case l.timeline.packet > 0 && !l.longer(gap, missing, s):
		lost = min(gap, missing*l.timeline.packet)
	}
	if lost > 0 {
		undecoded := lost * st.undecoded / missing
		l.patch(undecoded, UnrecordedCodec, s)
		l.patch(lost-undecoded, MissingLost, s)
	}
	if silent := gap - lost; silent > 0 {
		l.stat.Silent += silent
		l.gapTo(silent, false)
		l.conceal.reset()
	}
}

// longer reports whether the lost packets were longer than the last one, and as long as the next one: the codec has a constant rate, and
// the gap is that time for each of them.
func (l *Leg) longer(gap, missing int64, next *slot) bool {
	if l.payload == 0 || int64(len(next.payload)) <= l.payload {
		return false
	}
	return gap == missing*(l.timeline.packet*int64(len(next.payload))/l.payload)
}

// patch writes lost samples, and audio made up for them as far as possible.
func (l *Leg) patch(lost int64, r Reason, s *slot) {
	if lost == 0 {
		return
	}
	decoder, able := s.format.Decoder.(Recoverer)
	if able && !l.convert && r == MissingLost {
		l.recover(lost, decoder, s)
		return
	}
	if n := min(lost, int64(l.conceal.left())); n > 0 {
		l.pcm = l.conceal.conceal(l.pcm[:0], int(n))
		l.madeUp(l.pcm, r)
		lost -= n
	}
	if lost > 0 {
		l.lose(lost, r)
	}
}

// recover writes lost samples with the help of the decoder.
func (l *Leg) recover(lost int64, decoder Recoverer, s *slot) {
	// The packet may hold a copy of the one before it (in-band FEC). Anything further back can only be extrapolated.
	copyOf := min(lost, l.timeline.packet)
	if guess := min(int64(l.conceal.left()), lost-copyOf); guess > 0 {
		if pcm, _, err := decoder.Recover(l.pcm[:0], int(guess), nil); err == nil && int64(len(pcm)) == guess {
			l.pcm = pcm[:0]
			l.madeUp(pcm, MissingLost)
			l.conceal.run += int(guess)
			lost -= guess
		}
	}
	if between := lost - copyOf; between > 0 {
		l.lose(between, MissingLost)
	}
	pcm, fec, err := decoder.Recover(l.pcm[:0], int(copyOf), s.payload)
	switch {
	case err != nil || int64(len(pcm)) != copyOf:
		l.lose(copyOf, MissingLost)
	case fec:
		l.pcm = pcm[:0]
		l.stat.Repaired++
		l.stat.Decoded += copyOf
		l.books.decoded += copyOf
		l.books.lost.add(-1, 0)
		l.write(pcm, 1)
	default:
		l.pcm = pcm[:0]
		l.madeUp(pcm, MissingLost)
	}
}
