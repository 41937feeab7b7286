package encode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// oggPage is a page of an Ogg file (RFC 3533, section 6).
type oggPage struct {
	continued, first, last bool
	granule                int64
	serial, sequence       uint32
	lacing                 []byte
	body                   []byte
	size                   int64 // bytes of the whole page
}

// oggPages finds pages by their capture pattern and accepts those whose checksum is right, so that damage costs only the
// page that it is in.
type oggPages struct {
	window
	crc     [256]uint32
	bad     int // stretches that were not pages
	inBad   bool
	account Account // of bytes that are not pages; times are not estimated
}

const (
	oggHeaderBytes = 27
	oggMaxPage     = oggHeaderBytes + 255 + 255*255
)

func (o *oggPages) init(r io.Reader) {
	o.window = newWindow(r, 128<<10) // two of the longest pages
	for i := range o.crc {
		v := uint32(i) << 24
		for range 8 {
			v = v<<1 ^ 0x04c11db7*(v>>31)
		}
		o.crc[i] = v
	}
}

// next returns the next page, valid until the next call. At the end it returns io.EOF, or ErrTruncated if the last page is
// incomplete.
func (o *oggPages) next() (oggPage, error) {
	for {
		o.have(oggMaxPage)
		b := o.bytes()
		i := bytes.Index(b, []byte("OggS"))
		switch {
		case i == 0:
			if page, size, ok := o.parse(b); ok {
				o.at += size
				o.inBad = false
				return page, nil
			} else if size > len(b) && !bytes.Contains(b[4:], []byte("OggS")) {
				// The file ends within this page.
				o.give(len(b))
				return oggPage{}, o.ending(ErrTruncated)
			}
			o.give(4)
		case i > 0:
			o.give(i)
		case len(b) > 3 && o.err == nil:
			o.give(len(b) - 3)
		default:
			if len(b) > 0 {
				o.give(len(b))
			}
			return oggPage{}, o.ending(io.EOF)
		}
	}
}

// give skips bytes that are not a page.
func (o *oggPages) give(n int) {
	if b := o.bytes()[:n]; isZero(b) || harmlessText(b) {
		o.account.Read += int64(n)
	} else {
		o.account.damage(int64(n), 0)
	}
	o.at += n
	if !o.inBad {
		o.bad++
	}
	o.inBad = true
}

func (o *oggPages) ending(end error) error {
	if o.err != nil && !errors.Is(o.err, io.EOF) {
		return o.err
	}
	return end
}

// parse returns the page at the start of b and its size. ok is false if it is incomplete or its checksum is wrong.
func (o *oggPages) parse(b []byte) (page oggPage, size int, ok bool) {
	if len(b) < oggHeaderBytes {
		return page, oggHeaderBytes, false
	}
	segments := int(b[26])
	size = oggHeaderBytes + segments
	if len(b) < size {
		return page, size, false
	}
	page.lacing = b[oggHeaderBytes:size]
	for _, n := range page.lacing {
		size += int(n)
	}
	if b[4] != 0 {
		return page, 0, false
	}
	if len(b) < size {
		return page, size, false
	}
	page.size = int64(size)
	var crc uint32
	for i, v := range b[:oggHeaderBytes] {
		if i >= 22 && i < 26 {
			v = 0 // the checksum itself
		}
		crc = crc<<8 ^ o.crc[byte(crc>>24)^v]
	}
	for _, v := range b[oggHeaderBytes:size] {
		crc = crc<<8 ^ o.crc[byte(crc>>24)^v]
	}
	if crc != binary.LittleEndian.Uint32(b[22:]) {
		return page, 0, false
	}
	page.continued, page.first, page.last = b[5]&1 != 0, b[5]&2 != 0, b[5]&4 != 0
	page.granule = int64(binary.LittleEndian.Uint64(b[6:]))
	page.serial = binary.LittleEndian.Uint32(b[14:])
	page.sequence = binary.LittleEndian.Uint32(b[18:])
	page.body = b[oggHeaderBytes+segments : size]
	return page, size, true
}
