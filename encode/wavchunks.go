package encode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxWAVChunks bounds the chunks before the audio. No writer makes so many, and a stream of empty chunks must not keep a
// reader busy without end.
const maxWAVChunks = 4096

// isRIFF reports whether b starts with the header of a WAV file.
func isRIFF(b []byte) bool {
	if len(b) < 12 || string(b[8:12]) != "WAVE" {
		return false
	}
	switch string(b[:4]) {
	case "RIFF", "RF64", "BW64", "RIFX":
		return true
	}
	return false
}

// orderOf returns the byte order of the WAV file that starts with b.
func orderOf(b []byte) binary.ByteOrder {
	if string(b[:4]) == "RIFX" {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// readHeader reads up to the audio.
func (w *WAVReader) readHeader() error {
	if !w.win.have(12) {
		return fmt.Errorf("no RIFF header: %w", truncated(w.win.failure()))
	}
	head := w.win.bytes()
	if !isRIFF(head) {
		return fmt.Errorf("no RIFF header: %w", ErrNotAudio)
	}
	w.order = orderOf(head)
	riffSize := int64(w.order.Uint32(head[4:]))
	wide := string(head[:4]) == "RF64" || string(head[:4]) == "BW64"
	wideSize := int64(-1)
	w.take(12)
	seenFormat := false
	for range maxWAVChunks {
		if !w.win.have(8) {
			return fmt.Errorf("no data chunk: %w", truncated(w.win.failure()))
		}
		id, size := w.chunkHeader()
		w.take(8)
		switch id {
		case "fmt ":
			spec, err := w.readFormat(size)
			if err != nil {
				return err
			}
			w.spec, seenFormat = spec, true
		case "ds64":
			n, err := w.readSize64(size)
			if err != nil {
				return err
			}
			if wide {
				wideSize = n
			}
		case "data":
			if !seenFormat {
				return errors.New("data chunk comes before the fmt chunk")
			}
			w.left = dataSize(size, riffSize, w.win.offset())
			if wide && size == 0xffffffff {
				w.left = wideSize
			}
			w.pad = w.left >= 0 && w.left%2 == 1
			w.resolveAlign()
			return nil
		default:
			if err := w.skipChunk(id, size+size&1); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("no data chunk within %d chunks", maxWAVChunks)
}

// chunkHeader returns the id and the size of the chunk whose 8 bytes are available.
func (w *WAVReader) chunkHeader() (id string, size int64) {
	b := w.win.bytes()
	return string(b[:4]), int64(w.order.Uint32(b[4:]))
}

// readFormat reads the body of a fmt chunk.
func (w *WAVReader) readFormat(size int64) (wavSpec, error) {
	if size < 14 {
		return wavSpec{}, fmt.Errorf("fmt chunk has %d bytes, needs 14", size)
	}
	n := int(min(size, 40))
	if !w.win.have(n) {
		return wavSpec{}, fmt.Errorf("fmt chunk: %w", truncated(w.win.failure()))
	}
	spec, err := parseWAVFormat(w.win.bytes()[:n], w.order)
	if err != nil {
		return spec, err
	}
	w.take(n)
	return spec, w.skipChunk("fmt ", size+size&1-int64(n))
}

// readSize64 returns the size of the audio from a ds64 chunk, or -1.
func (w *WAVReader) readSize64(size int64) (int64, error) {
	n := int(min(size, 28))
	if !w.win.have(n) {
		return -1, fmt.Errorf("ds64 chunk: %w", truncated(w.win.failure()))
	}
	data := int64(-1)
	if n >= 16 {
		if v := w.order.Uint64(w.win.bytes()[8:]); v < 1<<62 {
			data = int64(v)
		}
	}
	w.take(n)
	return data, w.skipChunk("ds64", size+size&1-int64(n))
}

// skipChunk skips n bytes of a chunk that is not audio. Bytes that may be audio are booked as unread.
func (w *WAVReader) skipChunk(id string, n int64) error {
	var got, other int64
	if cues := w.cues(id, n); cues > 0 {
		read := w.win.skip(cues, nil)
		w.account.Read += read
		n -= read
	}
	if n < maxSmallRoom && w.small+n < 4*maxSmallRoom {
		got = w.win.skip(n, nil)
		w.small += got
	} else {
		body := &chunkBody{win: &w.win, left: n}
		if w.scratch == nil {
			w.scratch = make([]byte, judgeBlock)
		}
		other = doubtfulIn(body, w.scratch, isTagChunk(id))
		got = n - body.left
	}
	rate := w.bytesPerSecond()
	if rate == 0 {
		rate = slowRate
	}
	w.account.Read += got - other
	w.account.leave(OtherChunk, other, timeOf(other, rate))
	if err := w.win.failure(); err != nil {
		return fmt.Errorf("chunk %q: %w", id, err)
	}
	if got < n {
		return fmt.Errorf("chunk %q: %w", id, ErrTruncated)
	}
	return nil
}

// cues returns the bytes that the entries of a list of cue points need, of the first such chunk.
func (w *WAVReader) cues(id string, n int64) int64 {
	if id != "cue " || w.cued || !w.win.have(4) {
		return 0
	}
	w.cued = true
	if need := 4 + 24*int64(w.order.Uint32(w.win.bytes())); need <= n {
		return need
	}
	return 0
}

// chunkBody reads the bytes of a chunk from a window.
type chunkBody struct {
	win  *window
	left int64
}

func (c *chunkBody) Read(p []byte) (int, error) {
	if c.left <= 0 || !c.win.have(1) {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), c.left)], c.win.bytes())
	c.win.at += n
	c.left -= int64(n)
	return n, nil
}

// dataSize returns the length of the audio, or -1 if the size is a placeholder. ffmpeg leaves 0xffffffff in a pipe, sox
// 0x7ffff000, others 0x7fffffff or 0. go-audio/wav leaves 42 in both sizes if it is killed. A size of 0 is believed if
// the RIFF size reaches beyond it.
func dataSize(size, riffSize, pos int64) int64 {
	switch {
	case size >= 0xffffff00, size == 0x7ffff000, size == 0x7fffffff:
		return -1
	case size == 0 && (riffSize == 0 || riffSize >= 0xffffff00 || riffSize+8 <= pos):
		return -1
	case size == 42 && riffSize == 42:
		return -1
	}
	return size
}

// resolveAlign decides whether samples have the padding that the block align declares. Samples are left-justified, so real
// padding is zero. A block align that is wrong is common, and other readers ignore it.
func (w *WAVReader) resolveAlign() {
	if w.spec.padded == 0 {
		return
	}
	w.win.have(len(w.win.buf))
	used, silent := w.spec.paddingOf(w.win.bytes())
	if silent && w.size >= 0 {
		used, silent = w.paddingAhead()
	}
	if !used && !silent {
		return
	}
	if packed := w.spec.packed(); packed.convert != nil {
		w.spec = packed
	}
}

// paddingAhead judges the first audio behind leading silence, and seeks back. Only a file can.
func (w *WAVReader) paddingAhead() (used, silent bool) {
	s, ok := w.win.r.(io.ReadSeeker)
	if !ok {
		return false, true
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, true
	}
	// The blocks ahead continue the frames of the window.
	back := int64(len(w.win.bytes()) % w.spec.align)
	if _, err := s.Seek(at-back, io.SeekStart); err != nil {
		return false, true
	}
	silent = true
	b := make([]byte, (64<<10)/w.spec.align*w.spec.align)
	for silent && !used {
		n, err := io.ReadFull(s, b)
		used, silent = w.spec.paddingOf(b[:n])
		if err != nil {
			break
		}
	}
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		w.win.err = err
	}
	return used, silent
}

// next finds more audio behind the stated end of a data chunk, or returns the error that ends the file. w.left bytes of an
// incomplete frame may be left of the chunk.
func (w *WAVReader) next() error {
	rest := int(w.left)
	if w.win.have(rest + 1); len(w.win.bytes()) < rest {
		missing := rest - len(w.win.bytes())
		w.take(len(w.win.bytes()))
		if err := w.win.failure(); err != nil {
			return fmt.Errorf("read wav: %w", err)
		}
		return fmt.Errorf("read wav: %d bytes of audio are missing: %w", missing, ErrTruncated)
	}
	pads := []int{0}
	if w.pad {
		pads = []int{1, 0}
	}
	for _, pad := range pads {
		if w.win.have(rest + pad + 12); w.isChunk(rest + pad) {
			w.take(rest + pad)
			return w.nextChunk()
		}
	}
	if n := len(w.win.bytes()); w.win.err != nil && n <= rest+1 {
		// Nothing but an incomplete frame or the padding of the chunk.
		w.take(n)
		if err := w.win.failure(); err != nil {
			return fmt.Errorf("read wav: %w", err)
		}
		return io.EOF
	}
	w.behind, w.left = true, -1
	return nil
}

// isChunk reports whether a chunk starts at offset i of the window: its id is printable and its size fits in the file.
func (w *WAVReader) isChunk(i int) bool {
	b := w.win.bytes()
	if len(b) < i+8 {
		return false
	}
	b = b[i:]
	if isRIFF(b) {
		return true
	}
	for _, v := range b[:4] {
		if v < ' ' || v > '~' {
			return false
		}
	}
	size := int64(w.order.Uint32(b[4:]))
	if w.size >= 0 {
		end := w.win.offset() + int64(i) + 8 + size
		return end <= w.size || string(b[:4]) == "data"
	}
	return knownChunk(string(b[:4]))
}

// knownChunk reports whether writers are known to put a chunk behind the audio. It decides for files of unknown size.
func knownChunk(id string) bool {
	switch id {
	case "data", "LIST", "fact", "fmt ", "JUNK", "junk", "PAD ", "FLLR", "bext", "iXML", "axml", "_PMX", "id3 ", "ID3 ",
		"cue ", "smpl", "inst", "plst", "PEAK", "levl", "umid", "cart", "acid", "afsp", "minf", "elm1", "regn", "DGDA", "odd ":
		return true
	}
	return false
}

// nextChunk reads chunks behind the first data chunk, up to the next audio.
func (w *WAVReader) nextChunk() error {
	for {
		if w.win.have(12); len(w.win.bytes()) < 8 {
			return w.endOfChunks()
		}
		b := w.win.bytes()
		if isRIFF(b) {
			if orderOf(b) != w.order {
				return w.leaveRest(FurtherPart)
			}
			w.take(12)
			continue
		}
		if !w.isChunk(0) {
			w.left, w.pad = 0, false
			return w.next()
		}
		id, size := w.chunkHeader()
		switch id {
		case "data":
			w.take(8)
			if w.left = size; dataSize(size, 0, math.MaxInt64) < 0 && size != 0 {
				w.left = -1
			}
			w.pad = size%2 == 1
			return nil
		case "fmt ":
			if differs := w.differs(size); differs {
				return w.leaveRest(FurtherPart)
			}
			w.take(8)
		case "LIST":
			if len(b) >= 12 && string(b[8:12]) == "wavl" {
				w.take(12) // a list of data chunks
				continue
			}
			w.take(8)
		default:
			w.take(8)
		}
		if err := w.skipChunk(id, size+size&1); errors.Is(err, ErrTruncated) {
			return w.endOfChunks()
		} else if err != nil {
			return fmt.Errorf("read wav: %w", err)
		}
	}
}

// differs reports whether the fmt chunk in the window declares another format than the audio so far.
func (w *WAVReader) differs(size int64) bool {
	n := int(min(size, 40))
	if n < 14 || !w.win.have(8+n) {
		return true
	}
	spec, err := parseWAVFormat(w.win.bytes()[8:8+n], w.order)
	return err != nil || !spec.same(w.spec) && !spec.packed().same(w.spec)
}

// endOfChunks books the last bytes, which are too few for a chunk.
func (w *WAVReader) endOfChunks() error {
	w.take(len(w.win.bytes()))
	if err := w.win.failure(); err != nil {
		return fmt.Errorf("read wav: %w", err)
	}
	return io.EOF
}

// leaveRest books the rest of the file as unread.
func (w *WAVReader) leaveRest(reason Reason) error {
	n := w.win.skip(math.MaxInt64, nil)
	w.account.leave(reason, n, timeOf(n, w.bytesPerSecond()))
	return w.endOfChunks()
}
