package encode

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"
)

// maxTracks bounds the tracks of a file that are read. Further ones are booked as unread.
const maxTracks = 16

// ffmpegSpan is a stretch of a file that ffmpeg decodes, with one process for each of its tracks.
type ffmpegSpan struct {
	in      ffmpegInput
	info    mediaInfo
	span    span
	tail    int64 // bytes behind the declared end that may be audio
	foreign int64 // bytes of the tail that are not samples of the codec
	others  int64 // bytes of the packets of pictures and video
	covered int64 // bytes of the media that are in some packet, or 0 if not known
	sources []*ffmpegSource
	failed  []int // audio streams that could not be started
	amr     amrUse
}

// prepareFFmpeg probes a span. It completes the plan of the span by the knowledge of its codecs.
func (f *recording) prepareFFmpeg(s *span) (*ffmpegSpan, error) {
	exe, err := findFFmpeg(f.opts)
	if err != nil {
		return nil, err
	}
	in, err := inputOf(exe, f.path, s.off+s.lead, s.end, f.size)
	if err != nil {
		return nil, err
	}
	if s.name == "WAV" && s.extent.end >= 0 && s.extent.end < s.end {
		in.options = []string{"-ignore_length", "1"} // audio behind the stated size
	}
	info, err := probe(f.ctx, in)
	if err != nil && s.extent.end > s.off && s.extent.end < s.end && f.ctx.Err() == nil {
		// Some demuxers refuse bytes behind the declared end.
		if in, err = inputOf(exe, f.path, s.off+s.lead, s.extent.end, f.size); err == nil {
			info, err = probe(f.ctx, in)
		}
	}
	if err != nil {
		return nil, err
	}
	in.size = s.size() - s.lead
	in, info = withEdits(f.ctx, in, info, s.extent.edited)
	info.locate(f.ctx, in)
	for _, part := range s.coded {
		if !info.codes(part.name) {
			s.inner = append(s.inner, part)
		}
	}
	if s.kind == "ogg" {
		l := layout{r: f, size: s.end}
		l.ogg(s.off + s.lead)
		s.extent.payload, s.extent.rooms = l.e.payload, append(s.extent.rooms, l.e.rooms...)
	}
	if info.container == "mpegts" {
		s.extent.payload = tsPayload(f, s.off+s.lead, s.end)
	}
	p := &ffmpegSpan{in: in, info: info, span: *s}
	if (s.name != "WAV" || !info.pcm()) && s.extent.end >= 0 && s.extent.end < s.end {
		p.tail = f.doubtfulTail(s.extent.end, s.end)
		p.foreign = min(f.foreignSamples(info, s.extent.end, s.end), p.tail)
	}
	if s.name == "FLAC" {
		p.tail = f.doubtfulTail(flacTail(f, s.off+s.lead, s.end), s.end)
	}
	if s.name == "AMR" {
		p.amr = amrFramesOf(f, s.off+s.lead, s.end)
	}
	p.others = pictures(f.ctx, in, info)
	if info.container == "mov" {
		p.covered = covered(f.ctx, in, info, s.off+s.lead, s.extent.media)
	}
	return p, nil
}

// formats returns the formats of the tracks.
func (p *ffmpegSpan) formats() []Format {
	var out []Format
	for _, a := range p.info.audio[:min(len(p.info.audio), maxTracks)] {
		out = append(out, Format{Rate: a.rate, Channels: a.channels, Container: p.info.container, Codec: a.codec})
	}
	return out
}

// picturesLimit bounds the run time of pictures, which reads a file once.
const picturesLimit = 5 * time.Minute

// pictures returns the bytes of all packets of video and pictures. Those of other streams, and of unknown codecs, may be audio.
func pictures(ctx context.Context, in ffmpegInput, info mediaInfo) (n int64) {
	var maps []string
	for _, s := range info.others {
		if s.picture {
			maps = append(maps, "-map", "0:"+strconv.Itoa(s.index))
		}
	}
	if len(maps) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, picturesLimit)
	defer cancel()
	args := append([]string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+verbose"}, in.arguments()...)
	cmd := command(ctx, in.exe, append(append(args, maps...), "-c", "copy", "-f", "null", "-")...)
	log := newBoundedLog()
	cmd.Stderr = log
	if start(cmd, in.size) != nil || cmd.Wait() != nil {
		return 0
	}
	for _, s := range info.others {
		if s.picture {
			n += log.copied(s.index)
		}
	}
	return n
}

// open starts a process for each track.
func (p *ffmpegSpan) open(ctx context.Context) (*opened, error) {
	o := &opened{account: p.account}
	var first error
	start := p.info.audio[0].start
	for _, a := range p.info.audio {
		start = min(start, a.start)
	}
	for i, a := range p.info.audio[:min(len(p.info.audio), maxTracks)] {
		src, err := startFFmpeg(ctx, p.in, p.info, i)
		if err != nil {
			p.failed = append(p.failed, i)
			if first == nil {
				first = err
			}
			continue
		}
		src.amr = p.amr
		if len(p.span.inner) > 0 {
			src.judge = nil // those are read elsewhere
		}
		p.sources = append(p.sources, src)
		delay := 0.0
		if len(p.info.audio) > 1 {
			delay = min(a.start-start, maxFFmpegGap)
		}
		o.tracks = append(o.tracks, track{src: src, delay: delay, name: a.title})
	}
	if len(o.tracks) == 0 {
		return nil, first
	}
	return o, nil
}

// account books the span by the statistics of ffmpeg.
func (p *ffmpegSpan) account() Account {
	a := Account{Size: p.in.size}
	rest := p.in.size
	book := func(reason Reason, n int64, s float64) {
		if n = min(max(n, 1), rest); n > 0 {
			a.leave(reason, n, seconds(s))
			rest -= n
		}
	}
	demuxed, packets, known, decoded := p.others, int64(0), true, 0.0
	for _, s := range p.sources {
		use, ok := s.log.used()
		known = known && ok
		demuxed += use.bytes
		packets += use.packets
	}
	if p.covered > 0 && len(p.failed) == 0 {
		demuxed = p.covered
	}
	if payload := p.span.extent.payload; payload > 0 && demuxed > payload && p.info.pcm() {
		p.tail = max(p.tail-(demuxed-payload), p.foreign) // read on behind the stated end
	}
	for _, s := range p.sources {
		decoded += float64(s.frames) / float64(s.format.Rate)
	}
	rate := float64(demuxed-p.others) / max(decoded, 0.1)
	hidden := p.hidden(demuxed, packets, rate)
	complete := known && len(p.failed) == 0 && p.complete(hidden)
	for _, s := range p.sources {
		use, ok := s.log.used()
		if !ok && errors.Is(s.err, io.EOF) {
			book(ReaderGaveUp, rest, float64(rest)/slowRate) // an ffmpeg whose statistics are not known
		}
		length := float64(s.frames) / float64(s.format.Rate)
		d := s.Damage()
		if lost := float64(d.Lost) / float64(s.format.Rate); d.Events > 0 {
			lost = max(lost, 0.02*float64(d.Events))
			n := min(int64(float64(max(use.bytes, 1))*min(lost/(length+lost), 1))+1, rest)
			a.damage(n, seconds(lost))
			rest -= n
		}
		if s.judge != nil && s.judge.bad > 0 {
			n := min(s.judge.bad, rest)
			a.damage(n, timeOf(n, min(float64(s.judge.spec.align*s.format.Rate), slowRate)))
			rest -= n
		}
		missing := s.stream.duration - length
		switch {
		case complete && errors.Is(s.err, io.EOF):
		case s.stream.duration > 0 && missing > max(0.5, 0.02*s.stream.duration):
			book(ReaderGaveUp, int64(float64(p.in.size)*missing/s.stream.duration)/int64(len(p.info.audio)), missing)
		case s.err != nil && !errors.Is(s.err, io.EOF) && s.stream.duration == 0:
			book(ReaderGaveUp, rest/2, float64(rest)/2/slowRate)
		}
	}
	total := decoded
	for i, s := range p.info.audio {
		total += s.duration
		for _, failed := range p.failed {
			if i == failed && p.span.extent.payload < 0 && (s.duration > 0 || p.info.container == "ffmpeg") || i >= maxTracks {
				book(FurtherTrack, p.in.size/int64(len(p.info.audio)), max(s.duration, 1))
				break
			}
		}
	}
	for i := len(p.info.audio); len(p.sources) > 0 && i < p.sources[0].log.audioStreams(); i++ {
		book(FurtherTrack, p.in.size/int64(i+1), decoded)
	}
	for i, s := range p.sources {
		if s.log.widened(s.fold != nil) {
			book(FurtherTrack, p.in.size/int64(len(p.sources)-i+1), decoded)
		}
		if s.fold != nil && s.fold.Lost() > 0 {
			lost := float64(s.fold.Lost()) / float64(s.format.Rate)
			book(FurtherTrack, int64(float64(p.in.size)*lost/max(decoded, lost)), lost)
		}
	}
	if p.tail > 0 {
		// These bytes may be of any codec, so the lowest rate counts.
		book(BehindStatedSize, p.tail, float64(p.tail)/slowRate)
	}
	if known && len(p.info.audio) <= maxTracks && hidden > 0 {
		book(ReaderGaveUp, hidden, float64(hidden)/max(min(rate, slowRate), slowRate/8)) // they may be of any codec
	}
	a.Read = rest
	return a
}

// complete reports whether the packets account for all media of the container. Then a declared duration is wrong: it may be
// estimated by the size of the file, or count from the start of another track.
func (p *ffmpegSpan) complete(hidden int64) bool {
	switch p.info.container {
	case "caf", "w64", "aiff", "avi":
	default:
		if len(p.info.audio) < 2 {
			return false
		}
	}
	return p.span.extent.payload > 0 && !p.span.extent.cut && len(p.info.audio) <= maxTracks && hidden == 0
}

// hidden returns the number of bytes of the media data that no packet accounts for, beyond what the container needs. rate is that of the
// audio, in bytes per second.
func (p *ffmpegSpan) hidden(demuxed, packets int64, rate float64) int64 {
	payload, slack := p.span.extent.payload, hiddenSlack+int64(silentDelay*min(rate, hiddenRate))
	if payload <= 0 {
		payload = p.in.size - p.tail
		if end := p.span.extent.end; end > p.span.off && end < p.span.end {
			payload = end - p.span.off - p.span.lead // what is behind has an entry of its own
		}
		for _, room := range p.span.extent.rooms {
			payload -= room.end - room.off
		}
		for _, inner := range p.span.inner {
			payload -= inner.size()
		}
		slack += payload / 1000
	}
	if p.info.container == "mpegts" && p.info.audio[0].codec == "opus" {
		slack += 4 * packets // each has a header of its own
	}
	slack += p.span.extent.packed * packets
	hidden := payload - demuxed
	if hidden < slack {
		return 0
	}
	return hidden
}

const (
	// hiddenSlack is the number of bytes that a container may need for its structure.
	hiddenSlack = 1 << 10
	// hiddenRate bounds the rate at which the delay of a decoder is taken for bytes.
	hiddenRate = 4000
)
