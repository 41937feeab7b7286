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
	lead       int64   // bytes of a tag in front of the recording
	inner      []span  // recordings inside the declared extent, in another format: they are a further track
	coded      []span  // chains of frames in the media: recordings unless they are its codec
	delay      float64 // seconds from the start of the span to the inner recordings
	follows    bool    // a span of the same format precedes it
	goesOn     bool    // a span of the same format follows
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
	lead := id3Lead(r, size)
	head := make([]byte, min(size-lead, sniffBytes))
	if _, err := r.ReadAt(head, lead); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	kind, name := sniff(head)
	if h, ok := parseFrame(head); isFrames(name) && name != "MP3" && (!ok || chainEnd(r, lead, size) <= lead+int64(h.size)) {
		kind, name = "", "" // a single header is chance, in raw samples for example
	}
	if kind == "" && lead > 0 {
		kind, name = "mp3", "MP3"
	}
	behind := marksFrom(marks, lead)
	spans, err := planRange(r, mark{lead, kind, name}, behind, size, 0)
	if err != nil || lead == 0 {
		return spans, err
	}
	if len(spans) == 0 { // nothing but tags
		empty := span{off: lead, end: size, kind: kind, name: name}
		empty.extent.end = size
		spans = append(spans, empty)
	}
	tag := span{end: lead, extent: extent{end: lead}}
	tag.extent.spare(min(10, lead), lead, true)
	if err := tag.search(r, marks[:len(marks)-len(behind)], 0); err != nil {
		return nil, err
	}
	spans[0].off, spans[0].lead = 0, lead
	spans[0].inner = append(tag.inner, spans[0].inner...)
	spans[0].extent.rooms = append(tag.extent.rooms, spans[0].extent.rooms...)
	return spans, nil
}

// marksFrom returns the marks from an offset on.
func marksFrom(marks []mark, off int64) []mark {
	for len(marks) > 0 && marks[0].off < off {
		marks = marks[1:]
	}
	return marks
}

// id3Lead returns the size of the ID3v2 tags in front of a recording.
func id3Lead(r io.ReaderAt, size int64) int64 {
	var lead int64
	for range 16 {
		n := id3Size(r, lead, size)
		if n == 0 || n > size-lead {
			break
		}
		lead += n
	}
	return lead
}

// planRange plans a file from the mark first to end. marks are the marks behind it.
func planRange(r io.ReaderAt, first mark, marks []mark, end int64, depth int) ([]span, error) {
	var spans []span
	for at := first; at.off < end; {
		s := span{off: at.off, kind: at.kind, name: at.name, extent: extentOf(r, at.name, at.off, end)}
		next := mark{off: end}
		var within []mark
		for ; len(marks) > 0; marks = marks[1:] {
			m := marks[0]
			inRoom := s.extent.roomAt(m.off) != nil
			if m.off > s.off && m.off >= s.extent.end && !inRoom && !s.reads(m) {
				next = m
				break
			}
			if m.off > s.off && (inRoom || m.off < s.extent.end && s.doubts(r, m, end)) {
				within = append(within, m)
			}
		}
		s.end = min(next.off, end)
		if err := s.search(r, within, depth); err != nil {
			return nil, err
		}
		parts, err := s.parts(r)
		if err != nil {
			return nil, err
		}
		spans = append(spans, parts...)
		at = next
	}
	for i := range spans[:max(len(spans)-1, 0)] {
		if spans[i].kind == spans[i+1].kind {
			spans[i].goesOn, spans[i+1].follows = true, true
		}
	}
	return spans, nil
}

// search plans the recordings from the marks on, each up to the end of the room or of the extent that it is in.
func (s *span) search(r io.ReaderAt, marks []mark, depth int) error {
	for depth < maxNesting && len(marks) > 0 {
		m, end := marks[0], s.extent.end
		room := s.extent.roomAt(m.off)
		if room != nil {
			end = room.end
		}
		if end = min(end, s.end); end <= m.off {
			end = s.end // no end is declared
		}
		if room == nil {
			end = s.extent.nextRoom(m.off, end)
		}
		rest := marksFrom(marks, end)
		inner, err := planRange(r, m, marks[1:len(marks)-len(rest)], end, depth+1)
		if err != nil {
			return err
		}
		switch outer := s.extent.wav; {
		case room != nil:
			s.extent.take(m.off, end)
			s.inner = append(s.inner, inner...)
		case isFrames(m.name) && s.maybeCodec():
			for _, part := range inner {
				if isFrames(part.name) {
					s.coded = append(s.coded, part)
				} else {
					s.inner = append(s.inner, part)
				}
			}
		default:
			if s.inner == nil && outer.spec.align > 0 {
				s.delay = float64(m.off-outer.dataStart) / float64(outer.spec.align) / float64(outer.spec.format.Rate)
			}
			s.inner = append(s.inner, inner...)
		}
		marks = rest
	}
	return nil
}

// maybeCodec reports whether chains of frames in the media of a container can be its codec.
func (s *span) maybeCodec() bool {
	switch s.name {
	case "AIFF", "AU", "CAF", "Wave64", "VOC", "FLAC", "True Audio":
		return false
	}
	return s.extent.wav.spec.align == 0
}

// reads reports whether the reader of the span reads on at a mark itself.
func (s *span) reads(m mark) bool {
	return s.kind == m.kind && (s.kind == "ogg" || s.kind == "mp3") || s.off == 0 && s.name == "" && m.kind == "mp3"
}

// doubts reports whether the recording at a mark inside the extent is read wrong as audio of the outer one.
func (s *span) doubts(r io.ReaderAt, m mark, end int64) bool {
	outer := s.extent.wav
	if isFrames(s.name) {
		return !isFrames(m.name) && !s.wraps(r, m)
	}
	if s.name == "MPEG program stream" && m.name == s.name {
		return false // each of its packs starts like the first
	}
	if outer.spec.align == 0 {
		return true
	}
	inner := extentOf(r, m.name, m.off, end).wav
	aligned := (inner.dataStart-outer.dataStart)%int64(outer.spec.align) == 0
	return m.kind != "wav" || !inner.spec.same(outer.spec) || !aligned
}

// wraps reports whether a mark is the header of the WAV file that a WavPack file was made of: a short piece of its first block.
func (s *span) wraps(r io.ReaderAt, m mark) bool {
	b := make([]byte, 1)
	n, _ := r.ReadAt(b, m.off-2)
	return s.name == nameWavPack && m.off == s.off+34 && n == 1 && b[0] == 0x21
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
				for _, stream := range part.streams {
					if stream.unclear != "" {
						part.extent.unclear = stream.unclear
					}
				}
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
			part.off, part.inner, part.coded, part.extent.rooms = s.off+at[i-1], nil, nil, nil
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
