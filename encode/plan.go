package encode

import (
	"errors"
	"io"
)

// span is a stretch of a file that one reader decodes. The spans of a file follow each other without a gap.
type span struct {
	off, end   int64
	kind, name string // of the format, as sniff returns them
	extent     extent // what the container declares
	streams    []oggStream
	inner      []span  // recordings inside the declared extent, in another format: they are a further track
	delay      float64 // seconds from the start of the span to the inner recordings
}

func (s span) size() int64 { return s.end - s.off }

// maxNesting bounds the depth of recordings inside other recordings.
const maxNesting = 4

// planOf finds the recordings in a file.
//
// A header behind the declared end of a recording, or behind a format that declares none, starts a new span: the files
// were joined. A header inside the declared extent is ambiguous: a player plays its bytes as audio of the outer file. Both
// readings are decoded, the inner one as a further track.
func planOf(r io.ReaderAt, size int64) ([]span, error) {
	marks, err := carve(r, size)
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(size, markBytes))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	kind, name := sniff(head[:min(16, len(head))])
	return planRange(r, mark{0, kind, name}, marks, size, 0)
}

// planRange plans a file from the mark first to end. marks are the marks behind it.
func planRange(r io.ReaderAt, first mark, marks []mark, end int64, depth int) ([]span, error) {
	var spans []span
	for at := first; at.off < end; {
		s := span{off: at.off, kind: at.kind, name: at.name, extent: extentOf(r, at.name, at.off, end)}
		next := mark{off: end}
		for len(marks) > 0 {
			m := marks[0]
			if m.off > s.off && m.off >= s.extent.end && !s.reads(m) {
				next = m
				break
			}
			if m.off > s.off && m.off < s.extent.end && s.inner == nil && s.doubts(r, m, end) {
				inner, err := planInner(r, &s, marks, end, depth)
				if err != nil {
					return nil, err
				}
				s.inner = inner
			}
			marks = marks[1:]
		}
		s.end = next.off
		parts, err := s.parts(r)
		if err != nil {
			return nil, err
		}
		spans = append(spans, parts...)
		at = next
	}
	return spans, nil
}

// planInner plans the recordings from the first mark on, up to the declared end of the span around them.
func planInner(r io.ReaderAt, s *span, marks []mark, end int64, depth int) ([]span, error) {
	if depth == maxNesting {
		return nil, nil
	}
	if outer := s.extent.wav; outer.spec.align > 0 {
		s.delay = float64(marks[0].off-outer.dataStart) / float64(outer.spec.align) / float64(outer.spec.format.Rate)
	}
	return planRange(r, marks[0], marks[1:], min(s.extent.end, end), depth+1)
}

// reads reports whether the reader of the span reads on at a mark itself.
func (s *span) reads(m mark) bool {
	return s.kind == m.kind && (s.kind == "ogg" || s.kind == "mp3") || s.off == 0 && s.name == "" && m.kind == "mp3"
}

// doubts reports whether the recording at a mark inside the extent is read wrong as audio of the outer one.
func (s *span) doubts(r io.ReaderAt, m mark, end int64) bool {
	outer := s.extent.wav
	if outer.spec.align == 0 {
		return m.kind != "mp3" // MP3 may be the codec of the container
	}
	inner := extentOf(r, m.name, m.off, end).wav
	aligned := (inner.dataStart-outer.dataStart)%int64(outer.spec.align) == 0
	return m.kind != "wav" || !inner.spec.same(outer.spec) || !aligned
}

// parts cuts a span at changes of format that have no header of their own.
func (s span) parts(r io.ReaderAt) ([]span, error) {
	var cuts []int64
	switch s.kind {
	case "mp3":
		var err error
		if cuts, err = mp3Changes(io.NewSectionReader(r, s.off, s.size())); err != nil {
			return nil, err
		}
	case "ogg":
		links, err := scanOgg(io.NewSectionReader(r, s.off, s.size()))
		if err != nil {
			return nil, err
		}
		for i, link := range links {
			if i > 0 {
				cuts = append(cuts, link.off)
			}
		}
		return s.cut(cuts, func(i int, part *span) {
			if i < len(links) {
				part.streams = links[i].streams
				for k := range part.streams {
					part.streams[k].first -= part.off - s.off
				}
			}
		}), nil
	}
	return s.cut(cuts, func(int, *span) {}), nil
}

// cut returns the span in parts that start at the given offsets within it.
func (s span) cut(at []int64, set func(i int, part *span)) []span {
	var out []span
	for i := range len(at) + 1 {
		part := s
		if i > 0 {
			part.off, part.inner = s.off+at[i-1], nil
		}
		if i < len(at) {
			part.end = s.off + at[i]
		}
		set(i, &part)
		out = append(out, part)
	}
	return out
}

// maxMP3Changes bounds the parts of one MP3 file.
const maxMP3Changes = 1000

// mp3Changes returns the offsets at which the format of an MP3 stream changes.
func mp3Changes(r io.Reader) ([]int64, error) {
	w := newMP3Walker(r)
	if err := w.start(); err != nil {
		return nil, w.failure() // not an MP3, which opening it reports
	}
	var cuts []int64
	for len(cuts) < maxMP3Changes {
		_, _, _, err := w.next()
		switch {
		case err == nil:
		case errors.Is(err, errOtherFormat):
			cuts = append(cuts, w.offset())
			h, _ := parseMP3Header(w.bytes())
			w.first, w.last = h, h
		default:
			return cuts, w.failure()
		}
	}
	return cuts, nil
}
