package encode

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
)

// maxPackets bounds the packets of a file whose places are known.
const maxPackets = 4_000_000

// covered returns the bytes of the media that are in a packet of some audio or video stream, each counted once: an index may name the same
// bytes many times, and others never. It returns 0 if they are not known.
func covered(ctx context.Context, in ffmpegInput, info mediaInfo, off int64, media []room) int64 {
	dropped := map[int]bool{}
	for _, s := range info.others {
		dropped[s.index] = !s.picture
	}
	p := &packetPlaces{dropped: dropped, off: off}
	if err := streamProbe(ctx, in, p, "-show_entries", "packet=stream_index,pos,size", "-of", "csv=p=0"); err != nil || p.bad {
		return 0
	}
	slices.SortFunc(p.list, func(a, b room) int { return cmp.Compare(a.off, b.off) })
	var n, at int64
	list := p.list
	for _, m := range media {
		for len(list) > 0 {
			if from, to := max(list[0].off, m.off, at), min(list[0].end, m.end); to > from {
				n += to - from
				at = to
			}
			if list[0].end > m.end {
				break // it may reach into the next one
			}
			list = list[1:]
		}
	}
	return n
}

// packetPlaces reads lines of a stream, a size and a position.
type packetPlaces struct {
	dropped map[int]bool // streams that are no media
	off     int64
	line    []byte
	list    []room
	bad     bool
}

// Write implements io.Writer.
func (p *packetPlaces) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			p.line = append(p.line, rest...)
			break
		}
		p.take(append(p.line, rest[:i]...))
		p.line, rest = p.line[:0], rest[i+1:]
	}
	p.bad = p.bad || len(p.line) > 256 || len(p.list) > maxPackets
	if p.bad {
		return 0, errPlaces
	}
	return len(b), nil
}

func (p *packetPlaces) take(line []byte) {
	parts := bytes.Split(bytes.TrimRight(line, ",\r "), []byte(","))
	if len(parts) < 3 {
		return
	}
	stream, err1 := strconv.Atoi(string(parts[0]))
	size, err2 := strconv.ParseInt(string(parts[1]), 10, 64)
	at, err3 := strconv.ParseInt(string(parts[2]), 10, 64)
	if err1 != nil || err2 != nil {
		return
	}
	if err3 != nil { // N/A
		p.bad = true
		return
	}
	if at += p.off; !p.dropped[stream] {
		if n := len(p.list); n > 0 && p.list[n-1].end == at {
			p.list[n-1].end += size
			return
		}
		p.list = append(p.list, room{off: at, end: at + size})
	}
}
