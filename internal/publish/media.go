// Package publish sends recordings and plain RTP as live calls. It is a WHIP client, RFC 9725.
package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/pion/webrtc/v4"

	"callscreen/encode"
)

// Media is a recording cut into RTP payloads. It is read-only, so several calls can send it concurrently.
type Media struct {
	Codec   webrtc.RTPCodecCapability
	Packets []Packet
}

// Packet is one RTP payload.
type Packet struct {
	Payload []byte // nil for a gap
	Ticks   uint32 // duration, at the clock rate of the codec
}

// frame is the usual duration of a packet.
const frame = 20 // ms

// Codecs are the codecs for recordings. Ogg Opus files are always sent unchanged.
var Codecs = []string{"g722", "pcmu", "pcma", "opus"}

// Load reads one channel of a recording, or the mix of all if channel is -1. An Ogg Opus file is sent unchanged. Any
// other file is encoded with codec; "opus" needs ffmpeg.
func Load(ctx context.Context, file, codec string, channel int) (*Media, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err == nil && string(magic) == "OggS" && channel < 0 {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return Opus(f)
	}
	if codec == "opus" {
		return throughFFmpeg(ctx, file, channel)
	}
	return encoded(ctx, file, codec, channel)
}

// Opus reads the packets of an Ogg Opus stream.
func Opus(r io.Reader) (*Media, error) {
	ogg, err := encode.NewOggReader(io.NopCloser(r))
	if err != nil {
		return nil, err
	}
	m := &Media{Codec: capability("opus")}
	for {
		packet, samples, err := ogg.NextPacket()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		m.Packets = append(m.Packets, Packet{Payload: append([]byte(nil), packet...), Ticks: uint32(samples)})
	}
	return m, m.check()
}

// throughFFmpeg encodes a file to Opus with ffmpeg.
func throughFFmpeg(ctx context.Context, file string, channel int) (*Media, error) {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, errors.New("sending Opus needs ffmpeg or an Ogg Opus file (hint: --codec g722 needs neither)")
	}
	args := []string{"-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe", "-i", "file:" + file}
	if channel >= 0 {
		args = append(args, "-af", fmt.Sprintf("pan=mono|c0=c%d", channel))
	}
	cmd := exec.CommandContext(
		ctx,
		program,
		append(args, "-ac", "1", "-c:a", "libopus", "-b:a", "32k", "-application", "voip", "-f", "ogg", "-")...)
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m, readErr := Opus(out)
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("ffmpeg: %w: %s", err, strings.TrimSpace(problem.String()))
	}
	return m, readErr
}

// encoded encodes a recording to G.722 or G.711.
func encoded(ctx context.Context, file, codec string, channel int) (*Media, error) {
	rate := 8000
	m := &Media{Codec: capability(codec)}
	var code func(dst []byte, pcm []int16) []byte
	switch codec {
	case "pcmu":
		code = encode.EncodeMuLaw
	case "pcma":
		code = encode.EncodeALaw
	case "", "g722":
		code, rate = encode.NewG722Encoder().Encode, 16000
	default:
		return nil, fmt.Errorf("unknown codec %q (hint: %s)", codec, strings.Join(Codecs, ", "))
	}
	src, err := encode.Open(ctx, file, nil)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	format := src.Format()
	if channel >= format.Channels {
		return nil, fmt.Errorf("%s: channel %d does not exist, the recording has %d", file, channel, format.Channels)
	}
	resampler, err := encode.NewResampler(format.Rate, rate)
	if err != nil {
		return nil, err
	}
	block := make([]float32, format.Rate/10*format.Channels)
	mixer := encode.NewMixer(format.Channels)
	var mono, resampled []float32
	var pcm []int16
	size := rate * frame / 1000
	for done := false; !done; {
		n, err := src.Read(block)
		if done = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); err != nil && !done {
			return nil, err
		}
		if channel < 0 {
			mono = mixer.Mix(mono[:0], block[:n])
		} else {
			mono = encode.Deinterleave(mono[:0], block[:n], format.Channels, channel)
		}
		resampled = resampler.Process(resampled[:0], mono)
		if done {
			resampled = resampler.Flush(resampled)
		}
		from := len(pcm)
		pcm = append(pcm, make([]int16, len(resampled))...)
		encode.ToInt16(pcm[from:], resampled)
		for len(pcm) >= size {
			m.Packets = append(m.Packets, Packet{Payload: code(nil, pcm[:size]), Ticks: 8 * frame})
			pcm = pcm[size:]
		}
	}
	return m, m.check()
}

func (m *Media) check() error {
	if len(m.Packets) == 0 {
		return errors.New("the recording is shorter than one packet")
	}
	return nil
}

// Seconds returns the duration of the recording.
func (m *Media) Seconds() float64 {
	var ticks uint64
	for _, p := range m.Packets {
		ticks += uint64(p.Ticks)
	}
	return float64(ticks) / float64(m.Codec.ClockRate)
}
