package encode

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// oggStream is a logical stream of an Ogg file, between its first and its last page.
type oggStream struct {
	serial  uint32
	codec   string
	native  bool   // it is Opus that this package decodes
	first   int64  // offset of its first page
	last    int64  // offset of its last page
	bytes   int64  // of all its pages
	unclear string // what the header of the codec hides
	stereo  bool   // some packet of Opus has two channels, whatever the header declares
}

// oggLink is a link of a chain (RFC 3533, section 4): streams that are multiplexed, and end before the next link.
type oggLink struct {
	off     int64
	streams []oggStream
}

// maxOggLinks bounds the links of one file.
const maxOggLinks = 1000

// scanOgg finds the links and streams of an Ogg file by its pages. A stream that starts while another goes on is a further
// track of the same link.
func scanOgg(r io.Reader) ([]oggLink, error) {
	var pages oggPages
	pages.init(r)
	var streams []oggStream
	open := map[uint32]int{} // index of the latest stream of a serial number
	for {
		page, err := pages.next()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, ErrTruncated) {
				break
			}
			return nil, err
		}
		at := pages.offset() - page.size
		if page.first && len(streams) < maxOggLinks {
			native := len(page.body) >= 19 && oggCodec(page.body) == "Opus" && page.body[8]&0xf0 == 0 && page.body[18] == 0 &&
				page.body[9] >= 1 && page.body[9] <= 2
			open[page.serial] = len(streams)
			streams = append(streams, oggStream{
				serial:  page.serial,
				codec:   oggCodec(page.body),
				native:  native,
				unclear: opusHead(page.body).problem(),
				first:   at,
			})
		}
		if i, ok := open[page.serial]; ok {
			streams[i].last = at
			streams[i].bytes += page.size
			streams[i].stereo = streams[i].stereo || streams[i].native && page.stereo()
		}
	}
	return linksOf(streams), nil
}

// stereo reports whether a packet that starts on a page of Opus is coded with two channels (RFC 6716, section 3.1).
func (p *oggPage) stereo() bool {
	at, start := 0, !p.continued
	for _, n := range p.lacing {
		if start && at < len(p.body) && p.body[at]&4 != 0 && !bytes.HasPrefix(p.body[at:], []byte("Opus")) {
			return true
		}
		at += int(n)
		start = n < 255
	}
	return false
}

// linksOf cuts the streams where none goes on.
func linksOf(streams []oggStream) []oggLink {
	slices.SortFunc(streams, func(a, b oggStream) int { return int(min(max(a.first-b.first, -1), 1)) })
	var links []oggLink
	reach := int64(-1)
	for _, s := range streams {
		if len(links) == 0 || s.first > reach {
			links = append(links, oggLink{off: s.first})
		}
		link := &links[len(links)-1]
		link.streams = append(link.streams, s)
		reach = max(reach, s.last)
	}
	return links
}
