package encode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// ffmpeg may open recordings, from one local file. Playlists and concatenation scripts, which name further files, and
// network protocols are not allowed.
const (
	ffmpegProtocols = "file,pipe"
	ffmpegFormats   = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,matroska,mov,mp3,mpeg,mpegts," +
		"ogg,sox,tta,voc,w64,wav,wv"

	// ffmpegBlock bounds a single allocation of ffmpeg, in bytes.
	ffmpegBlock = 256 << 20
	// ffmpegPixels bounds the size of pictures beside the sound, of which ffprobe decodes one to describe its stream.
	ffmpegPixels = 16 << 20
	// ffmpegGrace bounds the time for which descendants of a killed program may hold its pipes open.
	ffmpegGrace = 2 * time.Second
	// ffmpegStall bounds the time in which ffmpeg must make its next block.
	ffmpegStall = time.Minute
	// A file may decode to so many bytes per byte, and to so many in any case.
	ffmpegGrowth  = 4000
	ffmpegAtLeast = 256 << 20
	// A gap in the timestamps is filled with silence up to maxFFmpegGap seconds, and to maxFFmpegFill bytes.
	maxFFmpegGap  = 600
	maxFFmpegFill = 128 << 20
	maxFFmpegGaps = 4 * 3600 // seconds of silence in all gaps of a file
)

// ffmpegSource reads an audio stream of a file that ffmpeg decodes to a WAV stream on a pipe.
type ffmpegSource struct {
	ctx    context.Context
	cancel context.CancelFunc
	cmd    *exec.Cmd
	log    *boundedLog
	wav    *WAVReader
	format Format
	stream audioStream
	frames int64     // returned so far
	amr    amrUse    // of an AMR file
	judge  *pcmJudge // nil for codecs other than PCM
	fold   *Mixer    // of two channels to the one that the file declares, or nil
	pair   []float32
	stereo bool  // the second channel has sound
	limit  int64 // of bytes
	once   sync.Once
	stall  *time.Timer
	exit   error // exit status of the program, set by stop
	err    error // the error that ended Read
}

// ffmpegFilter rewrites timestamps and fills gaps. ffmpeg leaves out audio that it cannot decode, and aresample inserts
// silence in its place, so that positions stay true. asetpts guards aresample: timestamps that go back, which would make it
// drop audio, and leaps, which would make it fill memory, are taken out. Register 0 holds the silence so far, 1 the offset of
// the timestamps, 2 the gap before the frame, all in samples.
func ffmpegFilter(rate, channels int) string {
	rate, channels = max(rate, minReadRate), max(channels, 1)
	gap := min(maxFFmpegGap*rate, maxFFmpegFill/4/channels)
	return fmt.Sprintf("asetpts='if(isnan(PTS-STARTPTS),0,st(2,PTS-STARTPTS+ld(1)-NB_CONSUMED_SAMPLES-ld(0))*0+"+
		"if(gt(ld(2),%d)+lt(ld(2),-SR/2)+gt(ld(0),%d),st(1,ld(1)-ld(2)),if(gt(ld(2),SR/50),st(0,ld(0)+ld(2))))*0)+"+
		"NB_CONSUMED_SAMPLES+ld(0)',aresample=async=1:min_hard_comp=0.02", gap, maxFFmpegGaps*rate)
}

// unmixed returns a filter that passes channels in their order, whatever they are called: ffmpeg would mix those of one layout into those
// of another one, and drop an LFE. Where frames have more channels, the further ones are added to these.
func unmixed(channels int) string {
	filter := fmt.Sprintf("pan=%dc", channels)
	for to := range channels {
		filter += fmt.Sprintf("|c%d=c%d", to, to)
		for from := to + channels; from < mostPanned; from += channels {
			filter += fmt.Sprintf("+c%d", from)
		}
	}
	return filter
}

// mostPanned is the number of channels of a frame that are heard.
const mostPanned = 32

// startFFmpeg starts to decode an audio stream of an input.
func startFFmpeg(ctx context.Context, in ffmpegInput, info mediaInfo, index int) (*ffmpegSource, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream := info.audio[index]
	s := &ffmpegSource{ctx: ctx, cancel: cancel, log: newBoundedLog(), stream: stream}
	s.limit = max(ffmpegAtLeast, ffmpegGrowth*in.size)
	args := []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+verbose", "-filter_threads", "1", "-threads", "1",
		"-max_error_rate", "1"}
	args = append(args, in.arguments()...)
	filter := ffmpegFilter(stream.rate, stream.channels)
	if stream.rate > 0 && stream.channels == 1 {
		// Frames of a mono stream may have two channels, and the downmix of ffmpeg would cancel them if they are of opposite phase.
		// The second channel of mono frames is silent.
		filter += ",pan=stereo|c0=c0|c1=c1"
		s.fold = NewMixer(2)
	} else if stream.rate > 0 && stream.channels > 1 {
		filter += "," + unmixed(min(stream.channels, maxChannels))
	}
	args = append(args, "-map", "0:a:"+strconv.Itoa(index), "-af", filter)
	if stream.rate > 0 && stream.channels > 0 {
		// The format may change within the file, and the WAV must not.
		args = append(args, "-ar", strconv.Itoa(min(stream.rate, maxRate)))
	}
	args = append(args, "-map_metadata", "-1", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1")
	s.cmd = command(ctx, in.exe, args...)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := start(s.cmd, in.size); err != nil {
		cancel()
		return nil, fmt.Errorf("start ffmpeg: %w", err)
	}
	s.stall = time.AfterFunc(ffmpegStall, s.cancel)
	s.wav, err = NewWAVReader(out)
	if err != nil {
		s.stop(false)
		if limit := limitOf(ctx, s.log, s.cmd); limit != "" {
			return nil, fmt.Errorf("ffmpeg: %s", limit)
		}
		if message := s.log.last(); message != "" {
			return nil, fmt.Errorf("ffmpeg: %s%w", message, notAudio(message))
		}
		if s.exit != nil && errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("ffmpeg: %w", s.exit)
		}
		return nil, fmt.Errorf("ffmpeg: %w", err)
	}
	s.stall.Stop()
	s.format = s.wav.Format()
	if s.fold != nil && s.format.Channels == 2 {
		s.format.Channels = 1
	} else {
		s.fold = nil
	}
	s.format.Container, s.format.Codec = info.container, stream.codec
	s.judge = newPCMJudge(s.format, stream.codec)
	return s, nil
}

// Format implements Source.
func (s *ffmpegSource) Format() Format { return s.format }

// Damage counts the errors that ffmpeg printed while it continued, and the audio that it left out.
func (s *ffmpegSource) Damage() Damage {
	d := s.wav.Damage()
	log := s.log.damage()
	if use, ok := s.log.used(); ok && s.amr != (amrUse{}) {
		bad := max(use.packets-use.frames-s.amr.pauses, 0) + s.amr.bad
		log = Damage{Events: int(bad), Lost: bad * int64(s.format.Rate) / 50}
	}
	if s.amr == (amrUse{}) {
		log.Lost = max(log.Lost, s.missing())
	}
	d = Damage{Events: d.Events + log.Events, Lost: d.Lost + log.Lost}
	if d.Lost > 0 || s.judge != nil && s.judge.bad > 0 {
		d.Events = max(d.Events, 1)
	}
	return d
}

// silentDelay is the audio in seconds that decoders drop at the start and the end, with no message.
const silentDelay = 0.3

// missing estimates the frames of the packets that ffmpeg read and did not decode. Not all decoders print a message about them.
func (s *ffmpegSource) missing() int64 {
	use, ok := s.log.used()
	if !ok || use.packets <= use.frames {
		return 0
	}
	rate := float64(s.format.Rate)
	if use.frames == 0 {
		return int64(rate * max(s.stream.duration, float64(use.bytes)/slowRate))
	}
	lost := float64(use.packets-use.frames) * float64(use.samples) / float64(use.frames)
	if s.log.damage().Events == 0 && (use.packets <= use.frames+2 || lost <= silentDelay*rate) {
		return 0
	}
	return int64(lost)
}

// Read implements Source.
func (s *ffmpegSource) Read(dst []float32) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.stall.Reset(ffmpegStall)
	n, err := s.read(dst)
	stalled := !s.stall.Stop()
	s.frames += int64(n / s.format.Channels)
	if s.judge != nil && !s.stereo {
		s.judge.take(dst[:n])
	}
	if err == nil && 4*int64(s.format.Channels)*s.frames > s.limit {
		err = fmt.Errorf("ffmpeg: more than %d bytes of audio came out, and decoding was stopped", s.limit)
	}
	if err == nil {
		return n, nil
	}
	ended := s.ctx.Err()
	s.stop(errors.Is(err, io.EOF))
	switch {
	case ended != nil && stalled:
		err = fmt.Errorf("ffmpeg: no audio came out for %v, and it was killed", ffmpegStall)
	case ended != nil:
		err = ended
	case s.exit != nil && limitOf(s.ctx, s.log, s.cmd) != "":
		err = fmt.Errorf("ffmpeg: %s", limitOf(s.ctx, s.log, s.cmd))
	case s.exit != nil && errors.Is(err, io.EOF):
		err = fmt.Errorf("ffmpeg: %w: %s", s.exit, s.log.last())
	}
	s.err = err
	return 0, err
}

// read reads from the program.
func (s *ffmpegSource) read(dst []float32) (int, error) {
	if s.fold == nil {
		return s.wav.Read(dst)
	}
	if len(dst) == 0 {
		return 0, io.ErrShortBuffer
	}
	if cap(s.pair) < 2*len(dst) {
		s.pair = make([]float32, 2*len(dst))
	}
	n, err := s.wav.Read(s.pair[:2*len(dst)])
	for i := 1; i < n && !s.stereo; i += 2 {
		s.stereo = s.pair[i] != 0
	}
	if s.stereo {
		return len(s.fold.Mix(dst[:0], s.pair[:n])), err
	}
	return len(Deinterleave(dst[:0], s.pair[:n], 2, 0)), err
}

// Close kills the program if it is still running, and waits for it.
func (s *ffmpegSource) Close() error {
	if s.err == nil {
		s.err = errClosed
	}
	s.stop(false)
	_ = s.wav.Close() // Wait has already closed the pipe
	return nil
}

// stop waits for the program. Unless the program has closed its output itself, stop kills it first.
func (s *ffmpegSource) stop(ended bool) {
	s.once.Do(func() {
		if !ended {
			s.cancel()
		}
		s.exit = s.cmd.Wait()
		s.cancel()
		s.stall.Stop()
	})
}
