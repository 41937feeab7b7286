package encode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// mark is a place in a file at which a recording starts.
type mark struct {
	off        int64
	kind, name string
}

const (
	// carveBlock is the unit in which a file is searched for marks, and markBytes the length of the longest mark.
	carveBlock = 1 << 20
	markBytes  = 64
	// sniffBytes is the number of bytes by which sniff recognises every format.
	sniffBytes = 192
	// maxMarks bounds the recordings of one file.
	maxMarks = 1000
)

// carve finds the recordings in a file by the headers that they start with. A header is accepted only if more of it fits
// than chance can explain, because audio holds any four bytes sooner or later.
func carve(r io.ReaderAt, size int64) ([]mark, error) {
	magics := []struct {
		at    int64 // offset in the header
		magic string
	}{
		{8, "WAVE"}, {0, "OggS"}, {0, "fLaC"}, {0, "\x1aE\xdf\xa3"}, {4, "ftyp"}, {0, "FORM"}, {0, "#!AMR"}, {0, "caff"},
		{0, ".snd"}, {0, "riff\x2e\x91"}, {0, "\x30\x26\xb2\x75"}, {8, "AVI LIST"}, {0, "FLV\x01"}, {0, "TTA1"},
		{0, "nut/multimedia container\x00"}, {0, "Creative Voice File\x1a"}, {0, "\x00\x00\x01\xba"}, {0, ".RMF"}, {0, "MAC "}, {0, ".SoX"},
		{0, "XoS."},
	}
	var found []mark
	search, frames := mp3Search{r: r}, frameSearch{r: r, size: size}
	buf := make([]byte, min(carveBlock+markBytes, size))
	for block := int64(0); block < size; block += carveBlock {
		n, err := r.ReadAt(buf, block)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		b := buf[:n]
		for _, m := range magics {
			for i := 0; i < len(b); {
				k := bytes.Index(b[i:], []byte(m.magic))
				if k < 0 {
					break
				}
				at := block + int64(i+k) - m.at
				i += k + 1
				// A header that reaches beyond the block is found in the next one, which overlaps.
				if at < block-m.at || at >= block+carveBlock-m.at || at < 0 {
					continue
				}
				head := make([]byte, markBytes)
				k, err := r.ReadAt(head, at)
				if err != nil && !errors.Is(err, io.EOF) {
					return nil, err
				}
				if kind, name := startsRecording(head[:k]); kind != "" && (name != "FLAC" || flacFrames(r, at)) {
					found = insertMark(found, mark{at, kind, name})
				}
			}
		}
		for at := search.first(b[:min(len(b), carveBlock+3)], block); at >= 0; at = search.first(b[:min(len(b), carveBlock+3)], block) {
			found = insertMP3(found, at)
		}
		b = b[:min(len(b), carveBlock+frameHead-1)]
		for at, h, ok := frames.first(b, block); ok; at, h, ok = frames.first(b, block) {
			found = insertMark(found, mark{at, "other", h.name})
		}
		if len(found) >= maxMarks {
			return found[:maxMarks], nil
		}
	}
	return found, nil
}

// insertMark inserts m in order, once.
func insertMark(found []mark, m mark) []mark {
	i := len(found)
	for i > 0 && found[i-1].off > m.off {
		i--
	}
	if i > 0 && found[i-1].off == m.off {
		return found
	}
	found = append(found, mark{})
	copy(found[i+1:], found[i:])
	found[i] = m
	return found
}

// insertMP3 inserts an MP3 stream, unless another precedes it: one reader finds all of them.
func insertMP3(found []mark, at int64) []mark {
	i := len(found)
	for i > 0 && found[i-1].off > at {
		i--
	}
	if i > 0 && found[i-1].kind == "mp3" {
		return found
	}
	return insertMark(found, mark{at, "mp3", "MP3"})
}

// startsRecording returns the kind and name of the recording whose header b is, or "".
func startsRecording(b []byte) (kind, name string) {
	kind, name = sniff(b[:min(32, len(b))])
	ok := false
	switch name {
	case "WAV":
		ok = len(b) >= 20 && isPrintable(b[12:16])
	case "Ogg":
		ok = len(b) >= 40 && b[4] == 0 && b[5]&2 != 0 && b[26] > 0 && oggCodec(b[27+min(int(b[26]), 1):]) != "an unknown codec"
	case "FLAC":
		ok = len(b) >= 12 && b[4]&0x7f == 0 && b[5] == 0 && b[6] == 0 && b[7] == 34
	case "Matroska or WebM":
		ok = bytes.Contains(b, []byte("webm")) || bytes.Contains(b, []byte("matroska"))
	case "MPEG-4 (m4a, mp4)":
		size := binary.BigEndian.Uint32(b)
		ok = size >= 16 && size <= 512 && size%4 == 0 && isPrintable(b[8:12])
	case "AIFF":
		ok = len(b) >= 16 && (string(b[8:12]) == "AIFF" || string(b[8:12]) == "AIFC") && isPrintable(b[12:16])
	case "AMR":
		ok = len(b) >= 9 && (string(b[5:6]) == "\n" || string(b[5:9]) == "-WB\n")
	case "CAF":
		ok = len(b) >= 12 && string(b[4:12]) == "\x00\x01\x00\x00desc"
	case "AU":
		ok = len(b) >= 24 && binary.BigEndian.Uint32(b[4:]) >= 24 && binary.BigEndian.Uint32(b[4:]) <= 4096 &&
			binary.BigEndian.Uint32(b[12:]) >= 1 && binary.BigEndian.Uint32(b[12:]) <= 30 &&
			binary.BigEndian.Uint32(b[16:]) >= minReadRate && binary.BigEndian.Uint32(b[16:]) <= maxRate &&
			binary.BigEndian.Uint32(b[20:]) >= 1 && binary.BigEndian.Uint32(b[20:]) <= maxChannels
	case "Wave64":
		ok = len(b) >= 40 && string(b[24:28]) == "wave"
	case "Windows Media":
		ok = len(b) >= 16 && string(b[4:16]) == "\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
	case "AVI":
		ok = len(b) >= 24 && string(b[:4]) == "RIFF" && string(b[12:16]) == "LIST" && string(b[20:24]) == "hdrl"
	case "Flash video":
		ok = len(b) >= 13 && b[3] == 1 && b[4]&^5 == 0 && string(b[5:13]) == "\x00\x00\x00\x09\x00\x00\x00\x00"
	case "True Audio":
		ok = len(b) >= 22 && b[4] >= 1 && b[4] <= 3 && b[5] == 0 && b[6] >= 1 && b[6] <= maxChannels && b[7] == 0
	case "NUT", "VOC":
		ok = true
	case "MPEG program stream":
		ok = startsProgramStream(b)
	case "SoX":
		ok = len(b) >= 32 && startsSoX(b)
	case "RealMedia":
		ok = len(b) >= 8 && b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] < 32
	case "Monkey's Audio":
		ok = len(b) >= 8 && b[5] <= 0x10 && b[4] != 0 && b[6] == 0 && b[7] == 0
	}
	if !ok {
		return "", ""
	}
	return kind, name
}

// startsSoX reports whether b is a header of SoX with a plausible size, number of channels and rate.
func startsSoX(b []byte) bool {
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'X' {
		order = binary.BigEndian
	}
	size, rate, channels := order.Uint32(b[4:]), math.Float64frombits(order.Uint64(b[16:])), order.Uint32(b[24:])
	return size >= 28 && size < maxIndex && channels >= 1 && channels <= maxChannels && rate >= minReadRate && rate <= maxRate
}

// startsProgramStream reports whether b starts with a pack header and a system header or packet behind it.
func startsProgramStream(b []byte) bool {
	n := 12
	if len(b) < 32 {
		return false
	}
	switch {
	case b[4]>>6 == 1 && b[4]&4 != 0:
		n = 14 + int(b[13]&7)
	case b[4]>>4 != 2:
		return false
	}
	return string(b[n:n+3]) == "\x00\x00\x01" && b[n+3] >= 0xbb
}

// flacFrames reports whether a frame follows the metadata of the FLAC header at off. Matroska and Ogg hold the header alone.
func flacFrames(r io.ReaderAt, off int64) bool {
	b := make([]byte, 4)
	at := off + 4
	for range 128 {
		if n, _ := r.ReadAt(b, at); n < 4 {
			return false
		}
		at += 4 + int64(b[1])<<16 + int64(b[2])<<8 + int64(b[3])
		if b[0]&0x80 != 0 {
			n, _ := r.ReadAt(b, at)
			return n >= 2 && b[0] == 0xff && b[1]&0xfe == 0xf8
		}
	}
	return false
}

// isPrintable reports whether b is ASCII without control characters.
func isPrintable(b []byte) bool {
	for _, v := range b {
		if v < ' ' || v > '~' {
			return false
		}
	}
	return true
}

// mp3Search finds MP3 streams, which have no header of their own, by chains of frames.
type mp3Search struct {
	r    io.ReaderAt
	next int64 // offset from which the search goes on
}

// first returns the offset of the first chain that starts in the block b, which is at offset block, or -1.
func (s *mp3Search) first(b []byte, block int64) int64 {
	for i := int(max(s.next-block, 0)); i+4 <= len(b); i++ {
		// Small negative samples are full of 0xff, so a plain loop is faster than a search for it.
		if b[i] != 0xff || b[i+1]&0xe6 != 0xe2 {
			continue
		}
		h, ok := parseMP3Header(b[i:])
		if !ok || !s.chain(block+int64(i), h) {
			continue
		}
		at := block + int64(i)
		s.next = s.end(at, h)
		return at
	}
	return -1
}

// chain reports whether frames like h follow each other at offset at. Frames that are all the same are a constant signal.
func (s *mp3Search) chain(at int64, h mp3Header) bool {
	b := make([]byte, otherChain*(h.size+1)+4)
	n, _ := s.r.ReadAt(b, at)
	b = b[:n]
	first, same := b[:min(h.size, n)], true
	for range otherChain - 1 {
		if len(b) < h.size+4 {
			return false
		}
		b = b[h.size:]
		next, ok := parseMP3Header(b)
		if !ok || !next.same(h) {
			return false
		}
		h = next
		same = same && bytes.HasPrefix(b, first[:min(len(first), len(b))])
	}
	return !same
}

// end returns the offset behind the chain at offset at.
func (s *mp3Search) end(at int64, h mp3Header) int64 {
	b := make([]byte, 4)
	for {
		at += int64(h.size)
		if n, _ := s.r.ReadAt(b, at); n < 4 {
			return at
		}
		next, ok := parseMP3Header(b)
		if !ok || !next.same(h) {
			return at
		}
		h = next
	}
}
