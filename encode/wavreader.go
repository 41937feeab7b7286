package encode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// WAVReader reads RIFF/WAVE and RF64 files (IBM/Microsoft "Multimedia Programming Interface" 1991; EBU Tech 3306) from
// any reader, in one pass. It decodes PCM of 8, 16, 24 and 32 bits, IEEE float of 32 and 64 bits, A-law and mu-law, plain
// or as WAVE_FORMAT_EXTENSIBLE, and refuses everything else with an [UnsupportedError]. Chunk sizes are never trusted
// with memory. It implements [Source].
//
// A data size that a writer could not know, because it wrote to a pipe or was killed, means all that follows. A data
// size that is larger than what follows ends with [ErrTruncated].
type WAVReader struct {
	r       io.Reader
	format  Format
	convert func(dst []float32, src []byte) (bad int)
	align   int   // bytes of a frame
	left    int64 // bytes of audio still to come, or -1 for all that follows
	damage  Damage
	err     error
	buf     [32 << 10]byte
}

// The chunk walk ends after so many chunks before the audio: no writer makes them, and an endless stream of empty
// chunks must not keep a reader busy for ever.
const maxWAVChunks = 4096

// NewWAVReader reads up to the first sample. It owns r from then on, and closes it in Close if it is an [io.Closer]. On
// an error r is left to the caller.
func NewWAVReader(r io.Reader) (*WAVReader, error) {
	w := &WAVReader{r: r}
	if err := w.readHeader(); err != nil {
		return nil, fmt.Errorf("read wav: %w", err)
	}
	return w, nil
}

func (w *WAVReader) readHeader() error {
	head := w.buf[:12]
	if _, err := io.ReadFull(w.r, head); err != nil {
		return fmt.Errorf("no RIFF header: %w", truncated(err))
	}
	id := string(head[:4])
	switch {
	case id == "RIFX":
		return unsupported("big-endian WAV (RIFX)")
	case id != "RIFF" && id != "RF64" && id != "BW64", string(head[8:12]) != "WAVE":
		return fmt.Errorf("no RIFF header: %w", ErrNotAudio)
	}
	riffSize := int64(binary.LittleEndian.Uint32(head[4:]))
	wide := id != "RIFF"
	wideSize := int64(-1)
	pos := int64(12)
	seenFormat := false
	for range maxWAVChunks {
		if _, err := io.ReadFull(w.r, w.buf[:8]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("no data chunk: %w", truncated(err))
			}
			return err
		}
		chunk := string(w.buf[:4])
		size := int64(binary.LittleEndian.Uint32(w.buf[4:]))
		pos += 8
		switch chunk {
		case "fmt ":
			if size < 14 {
				return fmt.Errorf("fmt chunk has %d bytes, needs 14", size)
			}
			fields := w.buf[:min(size, 40)]
			if _, err := io.ReadFull(w.r, fields); err != nil {
				return fmt.Errorf("fmt chunk: %w", truncated(err))
			}
			if err := w.parseFormat(fields); err != nil {
				return err
			}
			seenFormat = true
			if err := skip(w.r, size+size&1-int64(len(fields))); err != nil {
				return fmt.Errorf("fmt chunk: %w", err)
			}
		case "ds64":
			fields := w.buf[:min(size, 28)]
			if _, err := io.ReadFull(w.r, fields); err != nil {
				return fmt.Errorf("ds64 chunk: %w", truncated(err))
			}
			if wide && len(fields) >= 16 {
				if n := binary.LittleEndian.Uint64(fields[8:]); n < 1<<62 {
					wideSize = int64(n)
				}
			}
			if err := skip(w.r, size+size&1-int64(len(fields))); err != nil {
				return fmt.Errorf("ds64 chunk: %w", err)
			}
		case "data":
			if !seenFormat {
				return errors.New("data chunk comes before the fmt chunk")
			}
			w.left = dataSize(size, riffSize, pos)
			if wide && size == 0xffffffff {
				w.left = wideSize
			}
			return nil
		default:
			if err := skip(w.r, size+size&1); err != nil {
				return fmt.Errorf("chunk %q: %w", chunk, err)
			}
		}
		pos += size + size&1
	}
	return fmt.Errorf("no data chunk within %d chunks", maxWAVChunks)
}

// dataSize returns the length of the audio, or -1 where the writer could not know it: ffmpeg leaves 0xffffffff in a
// pipe, sox 0x7ffff000, others 0x7fffffff or 0, and go-audio/wav leaves 42 in both sizes if it is killed. A size of 0 is
// believed if the file goes on behind it by its own account.
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

// parseFormat reads the fields of a fmt chunk: tag, channels, rate, bytes a second, bytes a frame, bits a sample, and for
// WAVE_FORMAT_EXTENSIBLE the sub-format, a GUID that starts with the tag.
func (w *WAVReader) parseFormat(f []byte) error {
	tag := binary.LittleEndian.Uint16(f)
	channels := int(binary.LittleEndian.Uint16(f[2:]))
	rate := int64(binary.LittleEndian.Uint32(f[4:]))
	w.align = int(binary.LittleEndian.Uint16(f[12:]))
	bits := 8
	if len(f) >= 16 {
		bits = int(binary.LittleEndian.Uint16(f[14:]))
	}
	if tag == 0xfffe {
		if len(f) < 40 {
			return fmt.Errorf("extensible fmt chunk has %d bytes, needs 40", len(f))
		}
		if !bytes.Equal(f[26:40], []byte("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71")) {
			return unsupported("WAV with sub-format %x", f[24:40])
		}
		tag = binary.LittleEndian.Uint16(f[24:])
	}
	if name := compressedName(tag); name != "" {
		return unsupported("%s in WAV", name)
	}
	switch {
	case tag != 1 && tag != 3 && tag != 6 && tag != 7:
		return unsupported("WAV format 0x%04x", tag)
	case channels < 1 || channels > maxChannels:
		return fmt.Errorf("%d channels, must be 1 to %d", channels, maxChannels)
	case rate < minRate || rate > maxRate:
		return fmt.Errorf("rate is %d Hz, must be %d to %d", rate, minRate, maxRate)
	case bits < 1 || bits > 64:
		return fmt.Errorf("%d bits a sample", bits)
	case w.align%channels != 0 || w.align/channels < (bits+7)/8:
		return fmt.Errorf("%d channels of %d bits do not fit frames of %d bytes", channels, bits, w.align)
	}
	// Fewer bits than the container holds are left-justified in it, so that the container is what is decoded.
	codec, convert := sampleFormat(tag, w.align/channels)
	if convert == nil {
		return unsupported("WAV format 0x%04x with %d bits", tag, bits)
	}
	w.convert = convert
	w.format = Format{Rate: int(rate), Channels: channels, Container: "wav", Codec: codec}
	return nil
}

const maxChannels = 64

// compressedName names the codecs that are met in telephony recordings and are not decoded here.
func compressedName(tag uint16) string {
	switch tag {
	case 0x02:
		return "Microsoft ADPCM"
	case 0x11:
		return "IMA ADPCM"
	case 0x22:
		return "TrueSpeech"
	case 0x31:
		return "GSM 6.10"
	case 0x40, 0x45, 0x64, 0x14:
		return "G.726"
	case 0x42:
		return "G.723.1"
	case 0x50:
		return "MPEG layer 2"
	case 0x55:
		return "MP3"
	case 0x83:
		return "G.729"
	case 0xff, 0x1610:
		return "AAC"
	case 0x28f:
		return "G.722"
	}
	return ""
}

// Format implements [Source].
func (w *WAVReader) Format() Format { return w.format }

// Damage counts samples that were not numbers and are silent now.
func (w *WAVReader) Damage() Damage { return w.damage }

// Read implements [Source]. It does not allocate.
func (w *WAVReader) Read(dst []float32) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	ch := w.format.Channels
	if len(dst) < ch {
		return 0, io.ErrShortBuffer
	}
	frames := min(len(dst)/ch, len(w.buf)/w.align)
	if w.left >= 0 {
		frames = int(min(int64(frames), (w.left+int64(w.align)-1)/int64(w.align)))
	}
	if frames == 0 {
		w.err = io.EOF
		return 0, w.err
	}
	n, err := io.ReadFull(w.r, w.buf[:frames*w.align])
	if w.left >= 0 {
		// A size that is no whole number of frames ends in the padding of the chunk, or is a lie; either way the frame
		// is no audio.
		n = int(min(int64(n), w.left))
		w.left -= int64(n)
	}
	frames = n / w.align
	bad := w.convert(dst[:frames*ch], w.buf[:frames*w.align])
	if bad > 0 {
		w.damage.Events++
		w.damage.Lost += int64((bad + ch - 1) / ch)
	}
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		w.err = fmt.Errorf("read wav: %w", err)
	case w.left > 0:
		w.err = fmt.Errorf("read wav: %d bytes of audio are missing: %w", w.left, ErrTruncated)
	default:
		w.err = io.EOF
	}
	if frames == 0 {
		if w.err == nil {
			w.err = io.EOF
		}
		return 0, w.err
	}
	return frames * ch, nil
}

// Close closes the underlying reader if it can be closed.
func (w *WAVReader) Close() error {
	if w.err == nil {
		w.err = errClosed
	}
	return closeOnce(&w.r)
}

var errClosed = errors.New("read after close")

// closeOnce closes what is behind *r if that is an io.Closer, the first time.
func closeOnce(r *io.Reader) error {
	c, ok := (*r).(io.Closer)
	*r = nil
	if !ok {
		return nil
	}
	return c.Close()
}

// skip reads over n bytes.
func skip(r io.Reader, n int64) error {
	if n <= 0 {
		return nil
	}
	if _, err := io.CopyN(io.Discard, r, n); err != nil {
		return truncated(err)
	}
	return nil
}

// truncated turns the end of a file into what it means in the middle of a header.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}
