package encode

import (
	"errors"
	"io"
	"time"
)

// joined reads the spans of a file one after the other, and the tracks of a span side by side as further channels.
//
// Its rate is the highest of all tracks. Tracks of a lower rate are resampled. A track has as many channels as its widest
// part. A narrower part fills the first of them, and the others are silent. Tracks that end before others of their span are
// silent to its end.
type joined struct {
	rec     *recording
	nested  bool // it is a part of another Source, which owns the file
	parts   []prepared
	format  Format
	widths  []int // channels of each track
	names   []string
	at      int // index of the next part
	current *opened
	runs    []*trackRun
	account Account
	damage  Damage
	failed  error // of a track that did not end well
	added   int64 // bytes that were added to the file meanwhile
	err     error
}

// newJoined returns an error only if no part can be read.
func newJoined(f *recording, parts []prepared) (*joined, error) {
	j := &joined{rec: f, parts: parts}
	var first error
	readable := 0
	for _, p := range parts {
		if p.err != nil {
			if first == nil || errors.Is(first, ErrNotAudio) {
				first = p.err
			}
			continue
		}
		readable++
		j.add(p.formats)
	}
	if readable == 0 {
		return nil, first
	}
	total := 0
	for i, w := range j.widths {
		if total+w > maxChannels {
			j.widths = j.widths[:i]
			break
		}
		total += w
	}
	j.format.Channels = total
	j.format.Rate = min(max(j.format.Rate, minRate), maxRate)
	return j, nil
}

// add widens the output for the tracks of a part.
func (j *joined) add(formats []Format) {
	for i, f := range formats {
		if i == len(j.widths) {
			j.widths = append(j.widths, 0)
		}
		j.widths[i] = max(j.widths[i], f.Channels, 1)
		j.format.Rate = max(j.format.Rate, f.Rate)
		if j.format.Codec == "" {
			j.format.Container, j.format.Codec = f.Container, f.Codec
		}
	}
}

// Format implements Source.
func (j *joined) Format() Format { return j.format }

// Tracks returns the tracks in the order of their channels.
func (j *joined) Tracks() []Track {
	out := make([]Track, len(j.widths))
	for i, w := range j.widths {
		out[i].Channels = w
		if i < len(j.names) {
			out[i].Name = j.names[i]
		}
	}
	return out
}

// Damage counts the audio of all tracks that could not be decoded.
func (j *joined) Damage() Damage {
	d := j.damage
	for _, r := range j.runs {
		d.add(r.damage(j.format.Rate))
	}
	return d
}

// Account books every byte of the file once Read returned an error.
func (j *joined) Account() Account {
	a := j.account.clone()
	if j.current != nil {
		a.add(j.current.account())
	}
	if j.err != nil {
		a.settle(j.size(), 0)
		a.grow(j.added, 0)
	}
	return a
}

// size returns the bytes of all parts.
func (j *joined) size() int64 {
	var n int64
	for _, p := range j.parts {
		n += p.span.size()
	}
	return n
}

// Read implements Source.
func (j *joined) Read(dst []float32) (int, error) {
	if len(dst) < j.format.Channels && j.err == nil {
		return 0, io.ErrShortBuffer
	}
	for j.err == nil {
		if j.current == nil {
			if j.err = j.next(); j.err != nil && !j.nested {
				j.added = j.rec.added()
			}
			continue
		}
		if n := j.mix(dst); n > 0 {
			return n, nil
		}
	}
	return 0, j.err
}

// mix writes the frames that all running tracks have.
func (j *joined) mix(dst []float32) int {
	frames, running := len(dst)/j.format.Channels, false
	for _, r := range j.runs {
		r.fill()
		if n := r.have(); n > 0 || !r.ended {
			frames, running = min(frames, n), true
		}
	}
	if !running {
		j.finish()
		return 0
	}
	dst = dst[:frames*j.format.Channels]
	clear(dst)
	offset := 0
	for i, w := range j.widths {
		if i < len(j.runs) {
			j.runs[i].take(dst, frames, j.format.Channels, offset)
		}
		offset += w
	}
	for _, r := range j.runs[min(len(j.widths), len(j.runs)):] {
		r.drop(frames) // a track for which there are no channels
	}
	return len(dst)
}

// next opens the next part. A part that cannot be read is booked as unread.
func (j *joined) next() error {
	if err := j.rec.ctx.Err(); err != nil {
		return err
	}
	if j.at == len(j.parts) {
		if j.failed != nil {
			return j.failed
		}
		return io.EOF
	}
	p := j.parts[j.at]
	j.at++
	if p.err == nil {
		o := p.ready
		if o == nil {
			o, p.err = p.open()
		}
		if p.err == nil {
			j.start(o)
			return nil
		}
	}
	a := Account{Size: p.span.size()}
	n := doubtful(j.rec.section(p.span.off, p.span.end), false)
	a.leave(FurtherPart, n, timeOf(n, slowRate))
	a.Read = a.Size - n
	j.account.add(a)
	return nil
}

// start begins to read the tracks of a part.
func (j *joined) start(o *opened) {
	j.current = o
	for i, t := range o.tracks {
		width := t.src.Format().Channels
		if i < len(j.widths) {
			width = min(width, j.widths[i])
		}
		r := newTrackRun(t, width, j.format.Rate)
		j.runs = append(j.runs, r)
		if i >= len(j.names) {
			j.names = append(j.names, t.name)
		}
	}
}

// finish books a part whose tracks have all ended.
func (j *joined) finish() {
	a := j.current.account()
	part := j.parts[j.at-1].span
	a.settle(part.size(), 0)
	for i, r := range j.runs {
		j.damage.add(r.damage(j.format.Rate))
		if i >= len(j.widths) {
			// Its bytes were read, but there are no channels to return it in.
			n := max(a.Read/int64(len(j.runs)), 1)
			a.Read -= n
			a.leave(FurtherTrack, n, time.Duration(float64(r.total)/float64(j.format.Rate)*float64(time.Second)))
		}
		last := j.at == len(j.parts)
		switch {
		case r.err == nil || errors.Is(r.err, io.EOF), errors.Is(r.err, ErrTruncated) && !last:
		case j.failed == nil:
			j.failed = r.err
		}
	}
	if err := j.current.close(); err != nil && j.failed == nil {
		j.failed = err
	}
	j.account.add(a)
	j.current, j.runs = nil, nil
}

// Close closes the file and ends the programs that decode it.
func (j *joined) Close() error {
	var err error
	if j.current != nil {
		err = j.current.close()
	}
	for _, p := range j.parts[min(j.at, len(j.parts)):] {
		if p.ready != nil {
			err = errors.Join(err, p.ready.close())
		}
	}
	if j.err == nil {
		j.err = errClosed
	}
	if j.nested {
		return err
	}
	return errors.Join(err, j.rec.close())
}
