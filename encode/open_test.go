package encode_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/encode"
)

// deadline returns a context, and fails the test if a goroutine is left behind.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() {
		cancel()
		goleak.VerifyNone(t)
	})
	return ctx
}

func TestOpenReadsByContent(t *testing.T) {
	ctx := deadline(t)
	for _, c := range []struct {
		file string
		want encode.Format
	}{
		{"pcm_s16.wav", encode.Format{Rate: 16000, Channels: 1, Container: "wav", Codec: "pcm_s16le"}},
		{"44100_64k.mp3", encode.Format{Rate: 44100, Channels: 1, Container: "mp3", Codec: "mp3"}},
		{"stereo_60ms.opus", encode.Format{Rate: 16000, Channels: 2, Container: "ogg", Codec: "opus"}},
	} {
		// The name is misleading.
		path := filepath.Join(t.TempDir(), "recording.txt")
		if err := os.WriteFile(path, load(t, "formats/"+c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := encode.Open(ctx, path, &encode.Options{NoFFmpeg: true})
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if src.Format() != c.want {
			t.Errorf("%s: format is %+v", c.file, src.Format())
		}
		x, err := readAll(t, src)
		if frames := len(x) / c.want.Channels * 16000 / c.want.Rate; err != nil || frames < 47_000 || frames > 49_000 {
			t.Errorf("%s: %d frames of 16,000 Hz, %v", c.file, frames, err)
		}
		if err := src.Close(); err != nil {
			t.Errorf("%s: close: %v", c.file, err)
		}
	}
}

func TestOpenFallsBackToFFmpeg(t *testing.T) {
	ctx := deadline(t)
	peer(t, "ffmpeg")
	peer(t, "ffprobe")
	gsm := filepath.Join(t.TempDir(), "gsm.wav")
	run(t, nil, "sox", fixture("formats/pcm_u8.wav"), "-e", "gsm", gsm)
	flac := filepath.Join(t.TempDir(), "clip.flac")
	run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", fixture("formats/pcm_s16.wav"), flac)
	vorbis := filepath.Join(t.TempDir(), "clip.ogg")
	run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", fixture("formats/pcm_s16.wav"), "-c:a", "libvorbis", vorbis)
	for _, c := range []struct {
		path             string
		rate             int
		container, codec string
	}{
		{fixture("formats/16000_32k.m4a"), 16000, "mov", "aac"}, {fixture("formats/8000_mpeg25.mp3"), 8000, "mp3", "mp3"},
		{gsm, 8000, "wav", "gsm_ms"}, {flac, 16000, "flac", "flac"}, {vorbis, 16000, "ogg", "vorbis"},
	} {
		src, err := encode.Open(ctx, c.path, nil)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if want := (encode.Format{Rate: c.rate, Channels: 1, Container: c.container, Codec: c.codec}); src.Format() != want {
			t.Errorf("format is %+v, want %+v", src.Format(), want)
		}
		x, err := readAll(t, src)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
		if want := ffmpegPCM(t, c.path); len(x) != len(want) || snr(to16(t, x), want) < 60 {
			t.Errorf("%s: %d samples of %d, %.1f dB", c.path, len(x), len(want), snr(to16(t, x), want))
		}
		if n, err := src.Read(make([]float32, 100)); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		for range 2 {
			if err := src.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}

		_, err = encode.Open(ctx, c.path, &encode.Options{NoFFmpeg: true})
		var u *encode.UnsupportedError
		if !errors.As(err, &u) || !errors.Is(err, encode.ErrNoFFmpeg) || !strings.Contains(u.Hint(), "install ffmpeg") {
			t.Errorf("%s without ffmpeg: %v", c.path, err)
		}
	}
	if _, err := encode.Open(ctx, flac, &encode.Options{FFmpeg: "/nonexistent/ffmpeg"}); !errors.Is(err, encode.ErrNoFFmpeg) {
		t.Errorf("ffmpeg that is not there: %v", err)
	}
}

// children returns the child processes that were not reaped.
func children(t *testing.T) string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(tasks) == 0 {
		t.Skip("no /proc/self/task/*/children")
	}
	var all strings.Builder
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		all.Write(b)
	}
	return all.String()
}

// longFLAC is ten minutes of noise: too long to be decoded within the test.
func longFLAC(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "long.flac")
	run(
		t,
		nil,
		"ffmpeg",
		"-hide_banner",
		"-loglevel",
		"error",
		"-f",
		"lavfi",
		"-i",
		"anoisesrc=d=600:r=48000",
		"-compression_level",
		"0",
		path,
	)
	return path
}

func TestFFmpegEndsWithItsSource(t *testing.T) {
	ctx := deadline(t)
	path := longFLAC(t)
	for name, end := range map[string]func(encode.Source, context.CancelFunc) error{
		"close":   func(s encode.Source, _ context.CancelFunc) error { return s.Close() },
		"context": func(s encode.Source, cancel context.CancelFunc) error { cancel(); return nil },
	} {
		ctx, cancel := context.WithCancel(ctx)
		src, err := encode.Open(ctx, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Read(make([]float32, 4096)); err != nil {
			t.Fatal(err)
		}
		if err := end(src, cancel); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for err == nil {
			_, err = src.Read(make([]float32, 1<<16))
		}
		if err == io.EOF {
			t.Errorf("%s: the recording ends as if it were whole", name)
		}
		if name == "context" && !errors.Is(err, context.Canceled) {
			t.Errorf("context: %v", err)
		}
		if err := src.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if left := children(t); left != "" {
			t.Errorf("%s: processes %s are left", name, left)
		}
	}
}

func TestOpenNativeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(deadline(t))
	src, err := encode.Open(ctx, fixture("formats/pcm_s32.wav"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	cancel()
	if _, err := readAll(t, src); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := encode.Open(ctx, fixture("formats/pcm_s32.wav"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
}

func TestOpenNamesThatLookLikeSomethingElse(t *testing.T) {
	ctx := deadline(t)
	peer(t, "ffmpeg")
	m4a := load(t, "formats/16000_32k.m4a")
	t.Chdir(t.TempDir())
	for _, name := range []string{"-i", "-y", "http:x", "concat:a|b", "pipe:0", "%03d.m4a", "a b'\"$(x).m4a", "file:x"} {
		if err := os.WriteFile(name, m4a, 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := encode.Open(ctx, name, nil)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if x, err := readAll(t, src); err != nil || len(x) < 40_000 {
			t.Errorf("%q: %d samples, %v", name, len(x), err)
		}
		src.Close()
	}
}

func TestOpenRefuses(t *testing.T) {
	ctx := deadline(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		path string
		is   error
		text string
	}{
		"missing":   {filepath.Join(dir, "none.wav"), fs.ErrNotExist, "no such file"},
		"empty":     {file("empty.wav", ""), encode.ErrNotAudio, "empty"},
		"text":      {file("text.mp3", strings.Repeat("This is no audio. ", 1000)), encode.ErrNotAudio, "not an audio file"},
		"one byte":  {file("byte", "R"), encode.ErrNotAudio, "not an audio file"},
		"directory": {dir, nil, "directory"},
		"playlist": {
			file("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"),
			encode.ErrNotAudio,
			"not an audio file",
		},
		"concat": {file("list.ffconcat", "ffconcat version 1.0\nfile empty.wav\n"), encode.ErrNotAudio, "not an audio file"},
	} {
		_, err := encode.Open(ctx, c.path, nil)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), filepath.Base(c.path)) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
	secret := file("secret.wav", "RIFF")
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(secret); err == nil {
		f.Close() // root may read everything
	} else if _, err := encode.Open(ctx, secret, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("no permission: %v", err)
	}
}

func TestOpenVideoWithoutSound(t *testing.T) {
	ctx := deadline(t)
	path := filepath.Join(t.TempDir(), "silent.mp4")
	run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=64x64", path)
	_, err := encode.Open(ctx, path, nil)
	if !errors.Is(err, encode.ErrNotAudio) || !strings.Contains(err.Error(), "video without sound") {
		t.Errorf("%v", err)
	}
}

func TestOpenDamagedFileIsNotClean(t *testing.T) {
	// ffmpeg goes on over damage and exits with 0.
	ctx := deadline(t)
	path := filepath.Join(t.TempDir(), "clip.flac")
	run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", fixture("human.wav"), path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 2; i < len(b)/2+3000; i++ {
		b[i] ^= 0x5a
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := encode.Open(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	x, err := readAll(t, src)
	if err != nil {
		t.Fatal(err)
	}
	d := encode.DamageOf(src)
	if d.Events == 0 || d.Lost < 2900 || d.Lost > 10_000 {
		t.Errorf("damage is %+v, 3,000 of %d bytes are broken", d, len(b))
	}
	// Known behaviour of ffmpeg 5.1: it leaves out what it cannot decode, which moves all that follows.
	_, want, err := readWAV(t, load(t, "human.wav"))
	if err != nil {
		t.Fatal(err)
	}
	if len(x) != len(want) || !equal32(x[len(x)*3/4:], want[len(x)*3/4:]) {
		t.Errorf("%d samples of %d: positions moved", len(x), len(want))
	}
}
