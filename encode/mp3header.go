package encode

// mp3Header is the header of an MPEG audio layer III frame (ISO 11172-3, 2.4.1.3; ISO 13818-3 for the lower rates). The
// lowest rates, "MPEG-2.5", are in no standard.
type mp3Header struct {
	version   int // 1, 2, or 25 for MPEG-2.5
	rateIndex int
	rate      int // Hz
	bitrate   int // bits per second
	size      int // bytes of the frame, header included
	samples   int // per channel
	mono      bool
	crc       bool
	intensity bool // intensity stereo
}

// parseMP3Header reads the first 4 bytes of b. It refuses layers I and II, free format and reserved values.
func parseMP3Header(b []byte) (h mp3Header, ok bool) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe6 != 0xe2 {
		return h, false
	}
	index, rate := int(b[2]>>4), int(b[2]>>2&3)
	if index == 0 || index == 15 || rate == 3 || b[3]&3 == 2 {
		return h, false
	}
	h.rateIndex = rate
	h.rate = [3]int{44100, 48000, 32000}[rate]
	h.samples = 576
	switch b[1] >> 3 & 3 {
	case 3:
		h.version, h.samples = 1, 1152
	case 2:
		h.version = 2
		h.rate /= 2
	case 0:
		h.version = 25
		h.rate /= 4
	default:
		return h, false
	}
	h.bitrate = mp3Bitrate(h.version, index)
	h.size = h.samples / 8 * h.bitrate / h.rate
	if b[2]&2 != 0 {
		h.size++
	}
	h.mono = b[3]>>6 == 3
	h.crc = b[1]&1 == 0
	h.intensity = b[3]>>6 == 1 && b[3]&0x10 != 0
	return h, h.size > h.sideStart()+h.sideSize()
}

func mp3Bitrate(version, index int) int {
	if version == 1 {
		return 1000 * [15]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}[index]
	}
	return 1000 * [15]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}[index]
}

// same reports whether o can be a frame of the same stream.
func (h mp3Header) same(o mp3Header) bool {
	return h.version == o.version && h.rate == o.rate && h.mono == o.mono
}

func (h mp3Header) channels() int {
	if h.mono {
		return 1
	}
	return 2
}

// sideStart is the offset of the side information.
func (h mp3Header) sideStart() int {
	if h.crc {
		return 6
	}
	return 4
}

func (h mp3Header) sideSize() int {
	switch {
	case h.version == 1 && h.mono:
		return 17
	case h.version == 1:
		return 32
	case h.mono:
		return 9
	}
	return 17
}

// mp3Side holds the fields of the side information that locate the data of a frame.
type mp3Side struct {
	begin int  // bytes of the data that are in the frames before
	bits  int  // length of the data
	valid bool // whether the fields have possible values
}

func parseMP3Side(h mp3Header, frame []byte) mp3Side {
	bits := bitReader{b: frame[h.sideStart() : h.sideStart()+h.sideSize()]}
	granules, rest, begin := 1, 63-12-9, 8
	private := 2
	if h.mono {
		private = 1
	}
	if h.version == 1 {
		granules, rest, begin = 2, 59-12-9, 9
		private = 3 + 4*2 // with 4 bits per channel for shared scale factors
		if h.mono {
			private = 5 + 4
		}
	}
	s := mp3Side{begin: bits.take(begin), valid: true}
	bits.skip(private)
	for range granules * h.channels() {
		s.bits += bits.take(12)
		if bits.take(9) > 288 { // pairs of 576 lines
			s.valid = false
		}
		bits.skip(rest)
	}
	return s
}

type bitReader struct {
	b  []byte
	at int
}

func (r *bitReader) skip(n int) { r.at += n }

func (r *bitReader) take(n int) int {
	v := 0
	for range n {
		v = v<<1 | int(r.b[r.at>>3]>>(7-r.at&7)&1)
		r.at++
	}
	return v
}

// mp3Info is the frame without audio that encoders write first: the Xing header, and the LAME tag in it.
type mp3Info struct {
	frames         int64 // of the stream, without this one; 0 if not declared
	delay, padding int   // samples that the encoder added before and after the audio
	gapless        bool  // whether delay and padding are declared
}

// parseMP3Info returns nil if the frame holds audio.
func parseMP3Info(h mp3Header, frame []byte) *mp3Info {
	if at := 4 + 32; len(frame) >= at+18 && string(frame[at:at+4]) == "VBRI" {
		return &mp3Info{frames: int64(bigEndian32(frame[at+14:]))}
	}
	b := frame[min(h.sideStart()+h.sideSize(), len(frame)):]
	if len(b) < 8 || string(b[:4]) != "Xing" && string(b[:4]) != "Info" {
		return nil
	}
	info := new(mp3Info)
	flags := b[7]
	b = b[8:]
	for bit, size := range []int{4, 4, 100, 4} {
		if flags>>bit&1 == 0 {
			continue
		}
		if len(b) < size {
			return info
		}
		if bit == 0 {
			info.frames = int64(bigEndian32(b))
		}
		b = b[size:]
	}
	if len(b) < 24 {
		return info
	}
	if name := string(b[:4]); name == "LAME" || name == "Lavf" || name == "Lavc" {
		info.gapless = true
		info.delay = int(b[21])<<4 | int(b[22])>>4
		info.padding = int(b[22]&0x0f)<<8 | int(b[23])
	}
	return info
}

func bigEndian32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
