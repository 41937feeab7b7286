package capture

// pack holds runs of speech that are too short for a segment of their own, until there is enough for one.
type pack struct {
	parts  []*window
	speech int64
	pause  int64 // samples of silence between two parts
}

// add appends a part, and shortens the audio around the speech if the pack would exceed room samples.
func (p *pack) add(w *window, room, frame int64) {
	p.parts = append(p.parts, w)
	p.speech += w.speech
	if p.size() <= room {
		return
	}
	for _, w := range p.parts {
		w.leadIn(0)
		w.leadOut(0)
	}
	p.pause = min(p.pause, frame)
	if p.size() > room {
		p.pause = 0
	}
}

// size returns the samples that the pack takes at the start of a segment, with the pause after it.
func (p *pack) size() (n int64) {
	for _, w := range p.parts {
		n += int64(len(w.pcm)) + p.pause
	}
	return n
}

// joined returns a segment of the parts and of a window behind them, which may be empty. Its audio is new unless there is
// only one part.
func (p *pack) joined(last *window) Segment {
	parts := p.parts
	if len(last.pcm) > 0 {
		parts = append(parts, last)
	}
	seg := Segment{Span: Span{parts[0].start, parts[len(parts)-1].end()}}
	if len(parts) == 1 {
		seg.PCM = parts[0].pcm
	} else {
		seg.PCM, seg.Pieces = p.concatenate(parts)
	}
	power := 0.0
	for _, w := range parts {
		seg.Voiced = append(seg.Voiced, w.voiced...)
		seg.Speech += w.speech
		seg.Lost += w.lost()
		power += w.energy()
	}
	seg.Level = level(power, seg.Speech)
	return seg
}

func (p *pack) concatenate(parts []*window) (pcm []int16, pieces []Piece) {
	n := int64(0)
	for _, w := range parts {
		n += int64(len(w.pcm)) + p.pause
	}
	pcm = make([]int16, 0, n)
	for i, w := range parts {
		if i > 0 && w.start == parts[i-1].end() { // nothing was left out between the two
			pieces[len(pieces)-1].Span.End = w.end()
			pcm = append(pcm, w.pcm...)
			continue
		}
		if i > 0 {
			pcm = pcm[:len(pcm)+int(p.pause)]
		}
		pieces = append(pieces, Piece{At: int64(len(pcm)), Span: Span{w.start, w.end()}})
		pcm = append(pcm, w.pcm...)
	}
	if len(pieces) == 1 {
		pieces = nil
	}
	return pcm, pieces
}
