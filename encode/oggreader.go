package encode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// OpusHead is the identification header of an Opus stream in Ogg (RFC 7845, section 5.1).
type OpusHead struct {
	Channels  int     // 1 or 2
	PreSkip   int     // samples at 48,000 Hz to drop from the start of the decoded audio
	InputRate int     // Hz, what the encoder was given; for information only
	Gain      float64 // dB to amplify the decoded audio by
}

// OggReader extracts the packets of an Ogg Opus file (RFC 3533, RFC 7845) in one pass. Damaged and missing pages become
// gaps, whose length is the difference of the granule positions. It is not safe for concurrent use.
type OggReader struct {
	r       io.Reader
	pages   oggPages
	head    OpusHead
	serial  uint32
	next    uint32 // sequence number of the next page
	pos     int64  // granule position behind the queued packets, pre-skip included
	started bool   // whether pos is known
	ended   bool   // whether the end-of-stream page was seen
	hole    bool   // whether a page was lost since the last one
	holes   int
	filled  int64  // samples of all gaps
	refused int    // packets and gaps that are invalid
	partial []byte // packet that continues on the next page
	drop    bool   // the continued packet has lost its start
	queue   []oggPacket
	store   []byte // of the packets in queue
	err     error
}

type oggPacket struct {
	from, to int // in store; equal for a gap
	samples  int64
}

const (
	maxOpusPacket = 120 << 10 // 48 frames of 1,275 bytes, with room for the self-delimiting of several streams

	// A gap in the granule positions is accepted up to 10 minutes: a false position must not make hours of silence.
	maxOggGap = 600 * 48_000
	// All gaps of a file together are accepted up to 4 hours, because a page that claims a gap has only 30 bytes.
	maxOggGaps = 4 * 3600 * 48_000
	// Muxers round, so less than the shortest frame is no gap.
	minOggGap = 120
)

// NewOggReader reads the headers. It owns r from then on, and closes it in Close if it is an [io.Closer]. On an error r
// is left to the caller. Vorbis, FLAC and other codecs, and more than two channels, are refused with an
// [UnsupportedError].
func NewOggReader(r io.Reader) (*OggReader, error) {
	o := &OggReader{r: r}
	o.pages.init(r)
	if err := o.readHead(); err != nil {
		return nil, fmt.Errorf("read ogg: %w", err)
	}
	return o, nil
}

// readHead finds the Opus stream among the streams that start here.
func (o *OggReader) readHead() error {
	codec := ""
	for searched := 0; searched < 64; searched++ {
		page, err := o.pages.next()
		if err != nil {
			if codec == "" && (errors.Is(err, io.EOF) || errors.Is(err, ErrTruncated)) {
				return fmt.Errorf("no Ogg page: %w", ErrNotAudio)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			return err
		}
		if !page.first {
			break
		}
		name := oggCodec(page.body)
		if name != "Opus" {
			codec = name
			continue
		}
		if err := o.parseHead(page.body); err != nil {
			return err
		}
		o.serial, o.next = page.serial, page.sequence+1
		o.pages.bad, o.pages.inBad = 0, false
		return nil
	}
	if codec == "" {
		return errors.New("the Ogg file does not start with a header page")
	}
	return unsupported("%s in Ogg", codec)
}

// oggCodec returns the name of the codec of a stream from its first packet.
func oggCodec(b []byte) string {
	for _, c := range [][2]string{
		{"OpusHead", "Opus"}, {"\x01vorbis", "Vorbis"}, {"\x7fFLAC", "FLAC"}, {"Speex   ", "Speex"}, {"\x80theora", "Theora"},
	} {
		if len(b) >= len(c[0]) && string(b[:len(c[0])]) == c[0] {
			return c[1]
		}
	}
	return "an unknown codec"
}

func (o *OggReader) parseHead(b []byte) error {
	switch {
	case len(b) < 19:
		return fmt.Errorf("OpusHead has %d bytes, needs 19", len(b))
	case b[8]&0xf0 != 0:
		return unsupported("Ogg Opus version %d", b[8])
	case b[18] != 0 || b[9] > 2:
		return unsupported("Ogg Opus of %d channels, mapping family %d,", b[9], b[18])
	case b[9] == 0:
		return errors.New("OpusHead has 0 channels")
	}
	o.head = OpusHead{
		Channels:  int(b[9]),
		PreSkip:   int(binary.LittleEndian.Uint16(b[10:])),
		InputRate: int(binary.LittleEndian.Uint32(b[12:])),
		Gain:      float64(int16(binary.LittleEndian.Uint16(b[16:]))) / 256,
	}
	return nil
}

// Head returns the identification header.
func (o *OggReader) Head() OpusHead { return o.head }

// NextPacket returns the next packet, valid until the next call, and its duration in samples at 48,000 Hz. The duration
// of the last packet may be less than it decodes to. A nil packet is a gap of that duration. The sum of all durations,
// less the pre-skip, is the length of the recording. At the end NextPacket returns io.EOF, or an error that wraps
// [ErrTruncated] if the stream stops before its end-of-stream page.
func (o *OggReader) NextPacket() (packet []byte, samples48k int, err error) {
	for len(o.queue) == 0 {
		if o.err != nil {
			return nil, 0, o.err
		}
		o.err = o.readPage()
	}
	p := o.queue[0]
	o.queue = o.queue[1:]
	if p.from < p.to {
		packet = o.store[p.from:p.to]
	}
	return packet, int(p.samples), nil
}

// Close closes the underlying reader if it can be closed.
func (o *OggReader) Close() error {
	if o.err == nil {
		o.err = errClosed
	}
	o.queue = nil
	return closeOnce(&o.r)
}

// readPage queues the packets of the next page.
func (o *OggReader) readPage() error {
	if o.ended {
		// Tags, padding or another stream may follow.
		page, err := o.pages.next()
		if err == nil && page.first {
			return fmt.Errorf("read ogg: %w", unsupported("a chain of Ogg streams, from the second on,"))
		}
		return io.EOF
	}
	bad := o.pages.bad
	page, err := o.pages.next()
	if o.pages.bad != bad {
		o.hole = true
	}
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("read ogg: no end-of-stream page: %w", ErrTruncated)
	case err != nil:
		return fmt.Errorf("read ogg: %w", err)
	case page.serial != o.serial && page.first && o.started:
		return fmt.Errorf("read ogg: %w", unsupported("a chain of Ogg streams, from the second on,"))
	case page.serial != o.serial:
		return nil // of another stream
	}
	if page.sequence != o.next {
		o.hole = true
	}
	o.next = page.sequence + 1
	o.split(page)
	o.place(page)
	o.ended = page.last
	return nil
}

// split appends the packets that end on a page to the queue, with their durations.
func (o *OggReader) split(page oggPage) {
	o.queue, o.store = o.queue[:0], o.store[:0]
	if o.hole || !page.continued {
		o.partial, o.drop = o.partial[:0], false
		if page.continued {
			o.drop = true
		}
	} else if len(o.partial) == 0 {
		o.drop = true
	}
	body := page.body
	for _, n := range page.lacing {
		if !o.drop && len(o.partial)+int(n) > maxOpusPacket {
			o.drop = true
			o.refused++
		}
		if !o.drop {
			o.partial = append(o.partial, body[:n]...)
		}
		body = body[n:]
		if n == 255 {
			continue
		}
		if !o.drop {
			o.add(o.partial)
		}
		o.partial, o.drop = o.partial[:0], false
	}
}

func (o *OggReader) add(packet []byte) {
	if !o.started && len(packet) >= 8 && string(packet[:8]) == "OpusTags" {
		return
	}
	samples, err := OpusDuration(packet)
	if err != nil {
		o.refused++
		return
	}
	from := len(o.store)
	o.store = append(o.store, packet...)
	o.queue = append(o.queue, oggPacket{from, len(o.store), int64(samples)})
}

// place compares the granule position of a page with the durations of its packets. It inserts a gap before them, or trims
// the end.
func (o *OggReader) place(page oggPage) {
	var sum int64
	for _, p := range o.queue {
		sum += p.samples
	}
	if page.granule < 0 || sum == 0 && !page.last {
		// No packet ends here, or the position is not set.
		o.pos += sum
		return
	}
	start := page.granule - sum
	if !o.started && (len(o.queue) > 0) {
		o.started = true
		if !o.hole && !page.last && start > 0 {
			o.pos = start // a recording that was cut from a longer one
		}
	}
	lost := o.hole
	o.hole = false
	if lost {
		o.holes++
	}
	if gap := start - o.pos; gap >= minOggGap {
		if gap <= maxOggGap && o.filled+gap <= maxOggGaps {
			o.filled += gap
			o.queue = append(o.queue, oggPacket{})
			copy(o.queue[1:], o.queue)
			o.queue[0] = oggPacket{samples: gap}
		} else {
			o.refused++
		}
		if !lost {
			o.holes++
		}
		o.pos += gap
	}
	o.pos += sum
	if !page.last {
		return
	}
	for i := len(o.queue) - 1; i >= 0 && o.pos > page.granule; i-- {
		n := min(o.pos-page.granule, o.queue[i].samples)
		o.queue[i].samples -= n
		o.pos -= n
	}
}
