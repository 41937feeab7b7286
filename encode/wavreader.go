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
// A writer that writes to a pipe, or that is killed, leaves a placeholder as the data size. The audio then extends to the
// end of the file. A data size that is larger than the rest of the file ends with [ErrTruncated].
type WAVReader struct {
	r       io.Reader
	format  Format
	convert func(dst []float32, src []byte) (bad int)
	align   int   // bytes per frame
	left    int64 // bytes of audio still to come, or -1 for the rest of the file
	damage  Damage
	err     error
	buf     [32 << 10]byte
}

// maxWAVChunks bounds the chunks before the audio. No writer makes so many, and a stream of empty chunks must not keep a
// reader busy without end.
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

// parseFormat reads the fields of a fmt chunk: tag, channels, rate, bytes per second, bytes per frame, bits per sample,
// and for WAVE_FORMAT_EXTENSIBLE the sub-format, a GUID that starts with the tag.
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
		return fmt.Errorf("%d bits per sample, must be 1 to 64", bits)
	case w.align%channels != 0 || w.align/channels < (bits+7)/8:
		return fmt.Errorf("%d channels of %d bits do not fit frames of %d bytes", channels, bits, w.align)
	}
	// Samples of fewer bits are left-justified in their container, so the container is decoded.
	codec, convert := sampleFormat(tag, w.align/channels)
	if convert == nil {
		return unsupported("WAV format 0x%04x with %d bits", tag, bits)
	}
	w.convert = convert
	w.format = Format{Rate: int(rate), Channels: channels, Container: "wav", Codec: codec}
	return nil
}

const maxChannels = 64

// compressedName returns the name of a codec that occurs in telephony recordings and is not decoded in Go, or "".
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

// Damage counts samples that were not numbers and became silence.
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
		// An incomplete last frame is the padding of the chunk, or the size is false. Either way it is not audio.
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

// closeOnce closes *r if it is an io.Closer, and clears it.
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

// truncated replaces the end of file by ErrTruncated, for a file that ends within a header.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}
