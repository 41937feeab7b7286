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
	"strconv"
	"strings"
	"time"
)

// maxProbeOutput bounds the output of ffprobe, in bytes.
const maxProbeOutput = 4 << 20

// ffprobeLimit bounds the run time of ffprobe, which reads only the start of a file.
const ffprobeLimit = 30 * time.Second

// mediaInfo is the report of ffprobe on a file.
type mediaInfo struct {
	container string
	audio     []audioStream
	others    []otherStream
}

// otherStream is a stream that is not audio.
type otherStream struct {
	index   int
	picture bool // it holds video of a codec that ffmpeg knows; an attached picture is no media
}

// audioStream is an audio stream of a file. Fields that ffprobe does not report are zero.
type audioStream struct {
	codec          string
	rate, channels int
	start          float64 // seconds
	duration       float64 // seconds; declared by the container, not estimated by the bit rate
	title          string
}

// ffmpegInput is a file, or a range of it, as ffmpeg opens it.
type ffmpegInput struct {
	exe     string // ffmpeg
	url     string
	options []string // of the demuxer
	size    int64
}

// inputOf returns the input for the range from off to end of a file of the given size.
func inputOf(exe, path string, off, end, size int64) (ffmpegInput, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return ffmpegInput{}, err
	}
	if target, err := filepath.EvalSymlinks(abs); err == nil {
		abs = target // /dev/stdin is another file in another process
	}
	// In a URL of the file protocol, a dash or a colon in the name has no meaning.
	in := ffmpegInput{exe: exe, url: "file:" + abs, size: end - off}
	if off > 0 || end < size {
		in.url = fmt.Sprintf("subfile,,start,%d,end,%d,,:file:%s", off, end, abs)
	}
	return in, nil
}

// arguments returns the options that open the input and nothing else.
func (in ffmpegInput) arguments() []string {
	protocols := ffmpegProtocols
	if strings.HasPrefix(in.url, "subfile,") {
		protocols += ",subfile"
	}
	args := []string{"-protocol_whitelist", protocols, "-format_whitelist", ffmpegFormats, "-max_alloc", strconv.Itoa(ffmpegBlock),
		"-max_pixels", strconv.Itoa(ffmpegPixels)}
	return append(append(args, in.options...), "-i", in.url)
}

// probe returns container and streams from ffprobe. Without ffprobe it returns one stream about which nothing is known.
func probe(ctx context.Context, in ffmpegInput) (mediaInfo, error) {
	unknown := mediaInfo{container: "ffmpeg", audio: []audioStream{{codec: "unknown"}}}
	out, err := runProbe(ctx, in, "-show_entries", "format=format_name:stream=index,codec_type,"+
		"codec_name,width,sample_rate,channels,start_time,duration:stream_tags=title,language,DURATION:stream_disposition=attached_pic",
		"-of", "json")
	if errors.Is(err, errNoProbe) {
		return unknown, nil
	}
	if err != nil {
		return mediaInfo{}, err
	}
	return parseProbe(out, unknown)
}

// errPlaces ends a list of packets that cannot be used.
var errPlaces = errors.New("the places of packets are not known")

// errNoProbe is the error if ffprobe is not installed.
var errNoProbe = errors.New("ffprobe is not installed")

// runProbe returns the output of ffprobe.
func runProbe(ctx context.Context, in ffmpegInput, options ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, ffprobeLimit)
	defer cancel()
	out := boundedOutput{}
	err := streamProbe(ctx, in, &out, options...)
	if out.full {
		return nil, fmt.Errorf("ffprobe: more than %d bytes came out, and it was stopped (limit of ffprobe)", maxProbeOutput)
	}
	return out.b.Bytes(), err
}

// streamProbe runs ffprobe.
func streamProbe(ctx context.Context, in ffmpegInput, out io.Writer, options ...string) error {
	dir, base := filepath.Split(in.exe)
	exe, err := exec.LookPath(dir + strings.Replace(base, "ffmpeg", "ffprobe", 1))
	if err != nil || exe == in.exe {
		return errNoProbe
	}
	args := append([]string{"-hide_banner", "-loglevel", "level+error"}, options...)
	cmd := command(ctx, exe, append(args, in.arguments()...)...)
	log := newBoundedLog()
	cmd.Stdout, cmd.Stderr = out, log
	if err := start(cmd, in.size); err != nil {
		return fmt.Errorf("ffprobe: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		if limit := limitOf(ctx, log, cmd); limit != "" {
			return fmt.Errorf("ffprobe: %s", limit)
		}
		if message := log.last(); message != "" && ctx.Err() == nil {
			return fmt.Errorf("ffprobe: %s%w", message, notAudio(message))
		}
		return fmt.Errorf("ffprobe: %w", err)
	}
	return nil
}

// boundedOutput keeps the output of ffprobe. A file can have any number of streams and tags.
type boundedOutput struct {
	b    bytes.Buffer // not embedded: its ReadFrom would take everything
	full bool
}

// Write implements io.Writer. Its error closes the pipe, which ends the program.
func (b *boundedOutput) Write(p []byte) (int, error) {
	if b.full = b.full || b.b.Len()+len(p) > maxProbeOutput; b.full {
		return 0, io.ErrShortWrite
	}
	return b.b.Write(p)
}

// parseProbe reads the JSON of ffprobe.
func parseProbe(b []byte, unknown mediaInfo) (mediaInfo, error) {
	var seen struct {
		Format  struct{ Format_name string }
		Streams []struct {
			Codec_type, Codec_name            string
			Sample_rate, Start_time, Duration string
			Channels, Index, Width            int
			Tags                              map[string]string
			Disposition                       struct{ Attached_pic int }
		}
	}
	if err := json.Unmarshal(b, &seen); err != nil {
		return unknown, nil //nolint:nilerr // ffmpeg may still decode the file
	}
	info := mediaInfo{container: "ffmpeg"}
	if name, _, _ := strings.Cut(seen.Format.Format_name, ","); name != "" {
		info.container = name
	}
	video := false
	for _, s := range seen.Streams {
		if s.Codec_type != "audio" {
			video = video || s.Codec_type == "video"
			picture := s.Codec_type == "video" && s.Codec_name != "" && s.Codec_name != "unknown" && s.Width > 0 &&
				s.Disposition.Attached_pic == 0
			info.others = append(info.others, otherStream{s.Index, picture})
			continue
		}
		a := audioStream{codec: s.Codec_name, channels: s.Channels, title: s.Tags["title"]}
		if a.title == "" && s.Tags["language"] != "und" {
			a.title = s.Tags["language"]
		}
		a.rate, _ = strconv.Atoi(s.Sample_rate)
		a.start, _ = strconv.ParseFloat(s.Start_time, 64)
		if !estimatedDuration(info.container) {
			a.duration, _ = strconv.ParseFloat(s.Duration, 64)
		}
		if t, err := time.Parse("15:04:05.999999999", s.Tags["DURATION"]); err == nil && a.duration == 0 {
			a.duration = max(t.Sub(t.Truncate(24*time.Hour)).Seconds()-a.start, 0) // the tag holds the end
		}
		info.audio = append(info.audio, a)
	}
	switch {
	case len(info.audio) > 0:
		return info, nil
	case video:
		return info, fmt.Errorf("video without sound: %w", ErrNotAudio)
	}
	return info, fmt.Errorf("no audio stream: %w", ErrNotAudio)
}

// pcm reports whether all audio streams are PCM.
func (m mediaInfo) pcm() bool {
	for _, a := range m.audio {
		if !strings.HasPrefix(a.codec, "pcm_") {
			return false
		}
	}
	return true
}

// codes reports whether chains of frames of a format can be the packets of an audio stream.
func (m mediaInfo) codes(format string) bool {
	for _, codec := range map[string][]string{
		"MP3":       {"mp3", "mp3float", "unknown"},
		nameLayer2:  {"mp1", "mp2", "mp3", "unknown"},
		nameAC3:     {"ac3", "eac3", "unknown"},
		nameDTS:     {"dts", "unknown"},
		nameADTS:    {"aac", "unknown"},
		nameLOAS:    {"aac_latm", "aac", "unknown"},
		nameWavPack: {"wavpack", "unknown"},
	}[format] {
		for _, a := range m.audio {
			if a.codec == codec {
				return true
			}
		}
	}
	return false
}

// locate finds the start of the tracks of a Matroska file. ffprobe takes it from the first packets of the file, and a track
// may start later.
func (m mediaInfo) locate(ctx context.Context, in ffmpegInput) {
	if m.container != "matroska" || len(m.audio) < 2 {
		return
	}
	for i := range m.audio[:min(len(m.audio), maxTracks)] {
		out, err := runProbe(ctx, in, "-select_streams", "a:"+strconv.Itoa(i), "-read_intervals", "%+#1",
			"-show_entries", "packet=pts_time", "-of", "csv=p=0")
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		start, parseErr := strconv.ParseFloat(strings.Trim(first, ", \r"), 64)
		if a := &m.audio[i]; err == nil && parseErr == nil && start > a.start {
			a.duration = max(a.duration-(start-a.start), 0)
			a.start = start
		}
	}
}

// estimatedDuration reports whether ffprobe estimates the duration of a container by its bit rate.
func estimatedDuration(container string) bool {
	switch container {
	case "mp3", "aac", "ac3", "eac3", "dts", "amr", "amrnb", "amrwb", "mpeg", "mpegts", "gsm", "flv":
		return true
	}
	return false
}

// withEdits probes an MPEG-4 file with and without its edit lists. An edit list can hide audio from players: then the input
// is returned with edit lists ignored, as it is if edited is true.
func withEdits(ctx context.Context, in ffmpegInput, info mediaInfo, edited bool) (ffmpegInput, mediaInfo) {
	if info.container != "mov" {
		return in, info
	}
	raw := in
	raw.options = append(raw.options, "-ignore_editlist", "1")
	all, err := probe(ctx, raw)
	if err != nil || len(all.audio) != len(info.audio) {
		return in, info
	}
	for i, a := range all.audio {
		// An encoder's delay is cut off by every edit list.
		if edited || a.duration > info.audio[i].duration+0.25 {
			return raw, all
		}
	}
	return in, info
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
