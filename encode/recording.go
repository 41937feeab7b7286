package encode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// recording is a file that is open for reading. Its reads fail once its context has ended.
type recording struct {
	ctx  context.Context
	f    *os.File
	path string
	size int64
	opts *Options

	parts int // spans of the file, which share the room that is not judged
}

// ReadAt implements io.ReaderAt.
func (f *recording) ReadAt(p []byte, off int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.f.ReadAt(p, off)
}

// added returns the number of bytes that were added to the file since it was opened.
func (f *recording) added() int64 {
	info, err := f.f.Stat()
	if err != nil {
		return 0
	}
	return max(info.Size()-f.size, 0)
}

// section returns a reader of a range of the file.
func (f *recording) section(off, end int64) *io.SectionReader {
	return io.NewSectionReader(f, off, end-off)
}

// track is an audio stream of a span.
type track struct {
	src   Source
	delay float64 // seconds of silence before it
	name  string
}

// opened is a span whose tracks are read side by side.
type opened struct {
	tracks  []track
	account func() Account // final once all tracks have ended
}

func (o *opened) close() error {
	var err error
	for _, t := range o.tracks {
		err = errors.Join(err, t.src.Close())
	}
	return err
}

// prepared is a span whose formats are known.
type prepared struct {
	formats []Format // of the tracks; rate 0 if not known
	open    func() (*opened, error)
	ready   *opened // already open, or nil
	span    span
	err     error // why it cannot be read
}

// prepare finds out the format of a span. If keep is true, the span stays open.
func (f *recording) prepare(s span, keep bool) prepared {
	p := prepared{span: s}
	if s.extent.unclear != "" {
		p.err = fmt.Errorf("%s has %s, so its format is not certain (hint: convert it with the program that made it)",
			s.name, s.extent.unclear)
		return p
	}
	native := func() (*opened, error) { return f.openNative(s) }
	o, err := native()
	if err == nil {
		p.open = native
		for _, t := range o.tracks {
			p.formats = append(p.formats, t.src.Format())
		}
		if keep {
			p.ready = o
		} else {
			p.err = o.close()
		}
		return p
	}
	if f.ctx.Err() != nil {
		p.err = f.ctx.Err()
		return p
	}
	fs, ffErr := f.prepareFFmpeg(&s)
	if ffErr == nil {
		p.open = func() (*opened, error) {
			o, err := fs.open(f.ctx)
			if err != nil {
				return nil, err
			}
			return f.complete(s, o), nil
		}
		if keep {
			p.ready, ffErr = p.open()
		}
		if ffErr == nil {
			p.formats = fs.formats()
			if keep {
				p.formats = nil
				for _, t := range p.ready.tracks {
					p.formats = append(p.formats, t.src.Format())
				}
			}
			return p
		}
	}
	p.err = f.explain(err, ffErr)
	return p
}

// explain chooses the error of the Go readers or that of ffmpeg.
func (f *recording) explain(nativeErr, ffErr error) error {
	if f.ctx.Err() != nil {
		return f.ctx.Err()
	}
	var u *UnsupportedError
	if errors.As(nativeErr, &u) {
		if errors.Is(ffErr, ErrNotAudio) {
			return ffErr
		}
		return &UnsupportedError{What: u.What, Err: ffErr}
	}
	return nativeErr
}

// openNative opens a span with the readers of this package.
func (f *recording) openNative(s span) (*opened, error) {
	var src Source
	var err error
	section := f.section(s.off+s.lead, s.end)
	switch s.kind {
	case "wav":
		src, err = asSource(NewWAVReader(section))
	case "ogg":
		o, err := f.openOgg(s)
		if err != nil {
			return nil, err
		}
		l := layout{r: f, size: s.end}
		l.comments = true
		l.ogg(s.off + s.lead)
		s.extent.rooms = l.e.rooms
		return f.complete(s, o), nil
	case "other":
		return nil, unsupported("%s", s.name)
	default:
		// Unknown content may be an MP3 that starts with junk.
		src, err = asSource(newMP3Reader(section, !s.follows && !s.goesOn))
	}
	if err != nil {
		return nil, err
	}
	if w, ok := src.(*WAVReader); ok {
		for _, inner := range s.inner {
			w.inner = append(w.inner, room{off: inner.off - s.off, end: inner.end - s.off})
		}
	}
	o := &opened{tracks: []track{{src: src}}}
	o.account = func() Account { return AccountOf(src) }
	return f.complete(s, o), nil
}

// complete adds to an open span all that its reader does not see: the tag in front of it, recordings inside it, and spare
// room that may hold audio.
func (f *recording) complete(s span, o *opened) *opened {
	if s.lead > 0 {
		audio := o.account
		o.account = func() Account {
			a := audio()
			a.Size += s.lead
			a.Read += s.lead
			return a
		}
	}
	if len(s.extent.rooms) > 0 {
		o.account = withUnread(o.account, func() Account { return f.spareAccount(s) })
	}
	return f.openInner(s, o)
}

// withUnread returns an account whose unread bytes were booked as read.
func withUnread(account, unread func() Account) func() Account {
	return func() Account {
		a, more := account(), unread()
		for reason, n := range more.Unread {
			if n = min(n, a.Read); n > 0 {
				a.Read -= n
				a.leave(reason, n, more.UnreadTime[reason])
			}
		}
		return a
	}
}

// openInner opens the recordings inside the declared extent of another as a further track. If they cannot be read, they are
// booked as unread, although their bytes were read as audio of the outer one.
func (f *recording) openInner(s span, o *opened) *opened {
	if len(s.inner) == 0 {
		return o
	}
	var parts []prepared
	var size int64
	for i, part := range s.inner {
		size += part.size()
		if i >= maxTracks && part.kind == "other" {
			parts = append(parts, prepared{span: part, err: fmt.Errorf("more than %d parts inside another", maxTracks)})
			continue
		}
		parts = append(parts, f.prepare(part, false))
	}
	inner, err := newJoined(f, parts)
	if err == nil {
		inner.nested = true
		o.tracks = append(o.tracks, track{src: inner, delay: max(s.delay, 0)})
	}
	o.account = withUnread(o.account, func() Account {
		if err == nil {
			return inner.Account()
		}
		var lost Account
		lost.leave(FurtherPart, size, timeOf(size, slowRate))
		return lost
	})
	return o
}

// openOgg opens the Opus streams of a link of an Ogg file. Other codecs are left to ffmpeg.
func (f *recording) openOgg(s span) (*opened, error) {
	var streams []oggStream
	other := ""
	for _, stream := range s.streams {
		switch {
		case stream.native && len(streams) < maxTracks:
			streams = append(streams, stream)
		case !stream.native && !isVideoCodec(stream.codec):
			other = stream.codec
		}
	}
	_, missing := findFFmpeg(f.opts)
	if len(streams) == 0 || other != "" && missing == nil || len(s.streams) == 1 {
		src, err := newOpusReader(f.section(s.off+s.lead, s.end), nil, len(streams) > 0 && streams[0].stereo)
		if err != nil {
			return nil, err
		}
		src.trim(s)
		if other != "" && missing == nil {
			return nil, unsupported("%s in Ogg", other)
		}
		return &opened{tracks: []track{{src: src}}, account: src.Account}, nil
	}
	o := &opened{}
	var readers []*OpusReader
	for _, stream := range streams {
		src, err := newOpusReader(f.section(s.off+s.lead, s.end), &stream.serial, stream.stereo)
		if err != nil {
			return nil, err
		}
		src.trim(s)
		readers = append(readers, src)
		o.tracks = append(o.tracks, track{src: src})
	}
	o.account = func() Account { return oggAccount(readers) }
	return o, nil
}

// oggAccount merges the accounts of the streams of one link. The first reader booked the pages of the others as unread.
func oggAccount(readers []*OpusReader) Account {
	a := readers[0].Account()
	for _, r := range readers[1:] {
		own := r.ogg.own.clone()
		n := own.booked()
		had, of := a.Unread[FurtherTrack], a.UnreadTime[FurtherTrack]
		n = min(n, had)
		if n == 0 {
			continue
		}
		delete(a.Unread, FurtherTrack)
		delete(a.UnreadTime, FurtherTrack)
		a.leave(FurtherTrack, had-n, of-timeOf(n, slowRate))
		a.Damaged += own.Damaged
		a.Read += n - own.Damaged
		a.DamagedTime += own.DamagedTime
		if own.Damaged > 0 {
			a.DamagedTime += timeOf(own.Damaged, r.ogg.bytesPerSecond())
		}
	}
	return a
}

// asSource returns a nil Source, not a nil pointer in a Source, on an error.
func asSource[S Source](src S, err error) (Source, error) {
	if err != nil {
		return nil, err
	}
	return src, nil
}

// openRecording opens a file and returns a Source of all that can be read in it.
func openRecording(f *recording) (Source, error) {
	spans, err := planOf(f, f.size)
	if err != nil {
		return nil, err
	}
	f.parts = len(spans)
	if len(spans) == 1 {
		p := f.prepare(spans[0], true)
		if p.err != nil {
			return nil, p.err
		}
		if len(p.ready.tracks) == 1 && p.ready.tracks[0].delay == 0 {
			return &fileSource{Source: p.ready.tracks[0].src, rec: f, account: p.ready.account}, nil
		}
		return asSource(newJoined(f, []prepared{p}))
	}
	var parts []prepared
	processes := 0
	for _, s := range spans {
		p := f.prepare(s, false)
		if f.ctx.Err() != nil {
			return nil, f.ctx.Err()
		}
		if s.kind == "other" && p.err == nil {
			if processes++; processes > maxTracks {
				p.err = fmt.Errorf("more than %d parts that need ffmpeg", maxTracks)
			}
		}
		parts = append(parts, p)
	}
	return asSource(newJoined(f, parts))
}

// fileSource is a file with a single recording of a single track.
type fileSource struct {
	Source
	rec     *recording
	account func() Account
	ended   bool
	added   int64 // bytes that were added to the file meanwhile
}

// Read implements Source.
func (s *fileSource) Read(dst []float32) (int, error) {
	n, err := s.Source.Read(dst)
	if err != nil && !errors.Is(err, io.ErrShortBuffer) {
		if s.ended = true; errors.Is(err, io.EOF) || errors.Is(err, ErrTruncated) {
			s.added = s.rec.added()
		}
	}
	return n, err
}

// Damage counts the audio that could not be decoded.
func (s *fileSource) Damage() Damage { return DamageOf(s.Source) }

// Account books every byte of the file once Read returned an error.
func (s *fileSource) Account() Account {
	a := s.account()
	if s.ended {
		a.settle(s.rec.size, byteRate(s.Source))
		a.grow(s.added, byteRate(s.Source))
	}
	return a
}

// byteRate returns the byte rate of a Source, or 0 if it is not known.
func byteRate(src Source) float64 {
	if r, ok := src.(interface{ bytesPerSecond() float64 }); ok {
		return r.bytesPerSecond()
	}
	return 0
}

// Close closes the file.
func (s *fileSource) Close() error { return errors.Join(s.Source.Close(), s.rec.close()) }

func (f *recording) close() error {
	if err := f.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
