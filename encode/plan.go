package encode

import (
	"errors"
	"io"
)

// span is a stretch of a file that one reader decodes. The spans of a file follow each other without a gap.
type span struct {
	off, end   int64
	kind, name string  // of the format, as sniff returns them
	extent     extent  // what the container declares
	inner      []inner // recordings inside the declared extent, in another format: they are further tracks
	streams    []oggStream
}

// inner is a recording inside another one.
type inner struct {
	mark
	delay float64 // seconds from the start of the span
}

func (s span) size() int64 { return s.end - s.off }

// maxInner bounds the recordings inside another one that are read.
const maxInner = 8

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
	var spans []span
	for pos := int64(0); pos < size; {
		s := span{off: pos, end: size, kind: kind, name: name, extent: extentOf(r, name, pos, size)}
		next := mark{off: size}
		for len(marks) > 0 {
			m := marks[0]
			if m.off > pos && m.off >= s.extent.end && (kind != "ogg" || m.kind != "ogg") {
				next = m
				break
			}
			marks = marks[1:]
			if m.off > pos && m.off < s.extent.end {
				s.addInner(r, m, size)
			}
		}
		if s.extent.end >= 0 && s.extent.end < next.off {
			if at := mp3At(r, s.extent.end, next.off); at >= 0 && name != "" {
				next = mark{at, "mp3", "MP3"}
			}
		}
		s.end = next.off
		parts, err := s.parts(r)
		if err != nil {
			return nil, err
		}
		spans = append(spans, parts...)
		pos, kind, name = next.off, next.kind, next.name
	}
	return spans, nil
}

// addInner adds a recording inside the extent, unless the outer format reads its audio right.
func (s *span) addInner(r io.ReaderAt, m mark, size int64) {
	if len(s.inner) >= maxInner {
		return
	}
	in := inner{mark: m}
	if outer := s.extent.wav; outer.spec.align > 0 {
		in.delay = float64(m.off-outer.dataStart) / float64(outer.spec.align) / float64(outer.spec.format.Rate)
		e := extentOf(r, m.name, m.off, size)
		aligned := (e.wav.dataStart-outer.dataStart)%int64(outer.spec.align) == 0
		if m.kind == "wav" && e.wav.spec.same(outer.spec) && aligned {
			return
		}
	}
	s.inner = append(s.inner, in)
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
