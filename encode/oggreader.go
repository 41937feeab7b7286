package encode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
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
	store   []byte            // of the packets in queue
	wanted  *uint32           // serial number of the stream to read, or nil for the first of Opus
	streams map[uint32]string // codec by serial number of the streams that start with this one
	text    int64             // bytes of streams of text
	tagged  bool              // the comments were seen
	keepEnd bool              // the end is not trimmed
	own     Account           // pages of this stream
	other   Account           // pages of other streams
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
	// The end is trimmed by less than a packet. A false position must not trim audio.
	maxOggTrim = 5760
	// Muxers round, so less than the shortest frame is no gap.
	minOggGap = 120
)

// NewOggReader reads the headers. It owns r from then on, and closes it in Close if it is an [io.Closer]. On an error r
// is left to the caller. Vorbis, FLAC and other codecs, and more than two channels, are refused with an
// [UnsupportedError].
func NewOggReader(r io.Reader) (*OggReader, error) {
	return newOggReader(r, nil)
}

// newOggReader reads the stream with the given serial number, or the first of Opus.
func newOggReader(r io.Reader, serial *uint32) (*OggReader, error) {
	o := &OggReader{r: r, wanted: serial, streams: map[uint32]string{}}
	o.pages.init(r)
	if err := o.readHead(); err != nil {
		return nil, fmt.Errorf("read ogg: %w", err)
	}
	return o, nil
}

// maxOggStreams bounds the streams that are looked at in one file.
const maxOggStreams = 64

// readHead finds the Opus stream among the streams that start here.
func (o *OggReader) readHead() error {
	codec := ""
	for searched := 0; searched < maxOggStreams; searched++ {
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
			if o.wanted != nil {
				o.pass(page)
				continue // the wanted stream starts late
			}
			break
		}
		name := oggCodec(page.body)
		if o.wanted != nil && page.serial != *o.wanted || name != "Opus" {
			codec = name
			o.streams[page.serial] = name
			o.pass(page)
			continue
		}
		if err := o.parseHead(page.body); err != nil {
			return err
		}
		o.serial, o.next = page.serial, page.sequence+1
		o.own.Read += page.size
		o.pages.bad, o.pages.inBad = 0, false
		return nil
	}
	if codec == "" {
		return errors.New("the Ogg file does not start with a header page")
	}
	return unsupported("%s in Ogg", codec)
}

// pass books a page of another stream.
func (o *OggReader) pass(page oggPage) {
	if page.first && len(o.streams) < maxOggStreams {
		o.streams[page.serial] = oggCodec(page.body)
	}
	switch codec := o.streams[page.serial]; {
	case codec == "Theora":
		o.other.Read += page.size
		return
	case isVideoCodec(codec) && o.text+page.size < maxOggText:
		o.text += page.size
		o.other.Read += page.size
		return
	}
	o.other.leave(FurtherTrack, page.size, timeOf(page.size, slowRate))
}

// maxOggText bounds the bytes of texts and of indexes beside the sound, which may be something else.
const maxOggText = 4 << 10

// isVideoCodec reports whether a stream of that name holds no audio.
func isVideoCodec(name string) bool { return name == "Theora" || name == "Skeleton" || name == "Kate" }

// oggCodec returns the name of the codec of a stream from its first packet.
func oggCodec(b []byte) string {
	for _, c := range [][2]string{
		{"OpusHead", "Opus"}, {"\x01vorbis", "Vorbis"}, {"\x7fFLAC", "FLAC"}, {"Speex   ", "Speex"},
		{"\x80theora\x03\x02", "Theora"}, {"fishead", "Skeleton"}, {"\x80kate", "Kate"},
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

// Account books the bytes of the file that were reached. The time of damage is the time of the gaps, or an estimate by the
// bit rate if that is more.
func (o *OggReader) Account() Account {
	a := o.ownAccount()
	a.add(o.other)
	a.Size = o.pages.offset()
	return a
}

// ownAccount returns the account without the pages of other streams.
func (o *OggReader) ownAccount() Account {
	a := o.own.clone()
	lost := a.DamagedTime
	a.add(o.pages.account)
	a.DamagedTime = lost
	if a.Damaged > 0 {
		a.DamagedTime = max(lost, timeOf(a.Damaged, o.bytesPerSecond()), 1)
	}
	a.Size = a.booked()
	return a
}

// bytesPerSecond returns the byte rate of the stream so far.
func (o *OggReader) bytesPerSecond() float64 {
	if o.pos <= 0 {
		return slowRate
	}
	return float64(o.own.Read) / float64(o.pos) * 48_000
}

// discard moves n bytes of the stream from read to damaged. The time of damage is estimated later.
func (o *OggReader) discard(n int) {
	o.own.Read -= int64(n)
	o.own.Damaged += int64(n)
}

// readPage queues the packets of the next page.
func (o *OggReader) readPage() error {
	bad := o.pages.bad
	page, err := o.pages.next()
	if o.pages.bad != bad {
		o.hole = !o.ended
	}
	switch {
	case errors.Is(err, io.EOF) && o.ended, errors.Is(err, ErrTruncated) && o.ended:
		return io.EOF
	case errors.Is(err, io.EOF):
		return fmt.Errorf("read ogg: no end-of-stream page: %w", ErrTruncated)
	case err != nil:
		return fmt.Errorf("read ogg: %w", err)
	case page.first && o.wanted == nil && (o.ended || page.serial != o.serial && o.started):
		n := page.size + o.pages.skip(math.MaxInt64, nil)
		o.other.leave(FurtherPart, n, timeOf(n, o.bytesPerSecond()))
		return fmt.Errorf("read ogg: %w", unsupported("a chain of Ogg streams, from the second on,"))
	case page.serial != o.serial:
		o.pass(page)
		return nil
	}
	// Pages behind the end-of-stream page are read too: the flag may be false.
	o.own.Read += page.size
	if page.sequence != o.next && !o.ended {
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
		o.discard(len(o.partial))
		o.partial, o.drop = o.partial[:0], false
		if page.continued {
			o.drop = true
		}
	} else if len(o.partial) == 0 {
		o.drop = true
	}
	body := page.body
	for _, n := range page.lacing {
		comments := !o.tagged && bytes.HasPrefix(o.partial, []byte("OpusTags")) // with pictures
		if !o.drop && len(o.partial)+int(n) > maxOpusPacket && !comments {
			o.drop = true
			o.refused++
			o.discard(len(o.partial))
		}
		if o.drop {
			o.discard(int(n))
		} else if !comments || len(o.partial) < maxOpusPacket {
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
	if !o.tagged && len(packet) >= 8 && string(packet[:8]) == "OpusTags" {
		o.tagged = true
		return
	}
	samples, err := OpusDuration(packet)
	if err != nil {
		o.refused++
		o.discard(len(packet))
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
	if over := o.pos - page.granule; !page.last || o.keepEnd || over > maxOggTrim {
		return
	}
	for i := len(o.queue) - 1; i >= 0 && o.pos > page.granule; i-- {
		n := min(o.pos-page.granule, o.queue[i].samples)
		o.queue[i].samples -= n
		o.pos -= n
	}
}
