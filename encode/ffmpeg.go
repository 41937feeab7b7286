package encode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ffmpeg may open recordings, from one local file. Playlists and concatenation scripts, which name further files, and
// network protocols are not allowed.
const (
	ffmpegProtocols = "file,pipe"
	ffmpegFormats   = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,matroska,mov,mp3,mpeg,mpegts," +
		"nut,ogg,rm,sox,tta,voc,w64,wav,wv,xwma"

	// ffmpeg leaves out audio that it cannot decode. The filter inserts silence in its place, so that positions stay true.
	ffmpegFilter = "aresample=async=1:min_hard_comp=0.02"

	// ffmpegGrace bounds the time for which descendants of a killed program may hold its pipes open.
	ffmpegGrace = 2 * time.Second
	// ffprobeLimit bounds the run time of ffprobe, which reads only the start of a file.
	ffprobeLimit = 30 * time.Second
)

// ffmpegSource reads a file that ffmpeg decodes to a WAV stream on a pipe.
type ffmpegSource struct {
	ctx    context.Context
	cancel context.CancelFunc
	cmd    *exec.Cmd
	log    *boundedLog
	wav    *WAVReader
	format Format
	once   sync.Once
	exit   error // exit status of the program, set by stop
	err    error // the error that ended Read
}

func openFFmpeg(ctx context.Context, path string, opts *Options) (Source, error) {
	exe, err := findFFmpeg(opts)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// In a URL of the file protocol, a dash or a colon in the name has no meaning.
	url := "file:" + abs
	container, codec, err := probe(ctx, exe, url)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(ctx)
	s := &ffmpegSource{ctx: ctx, cancel: cancel, log: new(boundedLog)}
	s.cmd = exec.CommandContext(ctx, exe, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+verbose",
		"-protocol_whitelist", ffmpegProtocols, "-format_whitelist", ffmpegFormats, "-i", url,
		"-map", "0:a:0", "-af", ffmpegFilter, "-map_metadata", "-1", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1")
	s.cmd.Stderr = s.log
	s.cmd.WaitDelay = ffmpegGrace
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start ffmpeg: %w", err)
	}
	s.wav, err = NewWAVReader(out)
	if err != nil {
		s.stop(false)
		if message := s.log.last(); message != "" {
			return nil, fmt.Errorf("ffmpeg: %s%w", message, notAudio(message))
		}
		if s.exit != nil && errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("ffmpeg: %w", s.exit)
		}
		return nil, fmt.Errorf("ffmpeg: %w", err)
	}
	s.format = s.wav.Format()
	s.format.Container, s.format.Codec = container, codec
	return s, nil
}

// notAudio returns an error that wraps ErrNotAudio for the messages of ffmpeg that mean that there is nothing to decode.
func notAudio(message string) error {
	for _, sign := range []string{"matches no streams", "Invalid data found", "not in allowed list", "not on whitelist"} {
		if strings.Contains(message, sign) {
			return quietError{ErrNotAudio}
		}
	}
	return quietError{nil}
}

// quietError adds an identity to an error message without adding text.
type quietError struct{ err error }

func (quietError) Error() string   { return "" }
func (q quietError) Unwrap() error { return q.err }

func findFFmpeg(opts *Options) (string, error) {
	if opts.NoFFmpeg {
		return "", fmt.Errorf("it is turned off: %w", ErrNoFFmpeg)
	}
	name := opts.FFmpeg
	if name == "" {
		name = "ffmpeg"
	}
	exe, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoFFmpeg, err)
	}
	return exe, nil
}

// probe returns container and codec from ffprobe, if it is installed.
func probe(ctx context.Context, ffmpeg, url string) (container, codec string, err error) {
	container, codec = "ffmpeg", "unknown"
	dir, base := filepath.Split(ffmpeg)
	exe, err := exec.LookPath(dir + strings.Replace(base, "ffmpeg", "ffprobe", 1))
	if err != nil || exe == ffmpeg {
		return container, codec, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ffprobeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-hide_banner", "-loglevel", "level+error", "-protocol_whitelist", ffmpegProtocols,
		"-format_whitelist", ffmpegFormats, "-show_entries", "format=format_name:stream=codec_type,codec_name", "-of", "json", "-i", url)
	log := new(boundedLog)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, log, ffmpegGrace
	if err := cmd.Run(); err != nil {
		if message := log.last(); message != "" && ctx.Err() == nil {
			return "", "", fmt.Errorf("ffprobe: %s%w", message, notAudio(message))
		}
		return "", "", fmt.Errorf("ffprobe: %w", err)
	}
	var seen struct {
		Format  struct{ Format_name string }
		Streams []struct{ Codec_type, Codec_name string }
	}
	if err := json.Unmarshal(out.Bytes(), &seen); err != nil {
		return container, codec, nil
	}
	if name, _, _ := strings.Cut(seen.Format.Format_name, ","); name != "" {
		container = name
	}
	video := false
	for _, s := range seen.Streams {
		switch s.Codec_type {
		case "audio":
			return container, s.Codec_name, nil
		case "video":
			video = true
		}
	}
	if video {
		return "", "", fmt.Errorf("video without sound: %w", ErrNotAudio)
	}
	return "", "", fmt.Errorf("no audio stream: %w", ErrNotAudio)
}

// Format implements Source.
func (s *ffmpegSource) Format() Format { return s.format }

// Damage counts the errors that ffmpeg printed while it continued, and the silence that it inserted.
func (s *ffmpegSource) Damage() Damage {
	d, log := s.wav.Damage(), s.log.damage()
	return Damage{Events: d.Events + log.Events, Lost: d.Lost + log.Lost}
}

// Read implements Source.
func (s *ffmpegSource) Read(dst []float32) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.wav.Read(dst)
	if err == nil {
		return n, nil
	}
	ended := s.ctx.Err()
	s.stop(errors.Is(err, io.EOF))
	switch {
	case ended != nil:
		err = ended
	case s.exit != nil:
		err = fmt.Errorf("ffmpeg: %w: %s", s.exit, s.log.last())
	}
	s.err = err
	return n, err
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
	})
}
