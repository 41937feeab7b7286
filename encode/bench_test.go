package encode_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"callscreen/encode"
)

// drain reads a Source to its end and returns its length in seconds.
func drain(b *testing.B, src encode.Source, buf []float32) float64 {
	b.Helper()
	n := 0
	for {
		k, err := src.Read(buf)
		n += k
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / float64(src.Format().Channels*src.Format().Rate)
}

func benchSource(b *testing.B, data []byte, open func(io.Reader) (encode.Source, error)) {
	b.Helper()
	buf := make([]float32, 4096)
	seconds := 0.0
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		src, err := open(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		seconds = drain(b, src, buf)
	}
	msPerMinute(b, seconds)
}

func BenchmarkWAVIn(b *testing.B) {
	for _, name := range []string{"human.wav", "formats/pcm_s24.wav", "formats/mulaw.wav", "formats/pcm_f32.wav"} {
		b.Run(filepath.Base(name), func(b *testing.B) {
			benchSource(b, load(b, name), func(r io.Reader) (encode.Source, error) { return encode.NewWAVReader(r) })
		})
	}
}

func BenchmarkMP3In(b *testing.B) {
	for _, name := range []string{"44100_64k.mp3", "48000_stereo_96k.mp3", "22050_32k_garbage_in_gomp3.mp3"} {
		b.Run(name, func(b *testing.B) {
			benchSource(b, load(b, "formats/"+name), func(r io.Reader) (encode.Source, error) { return encode.NewMP3Reader(r) })
		})
	}
}

func BenchmarkOpusIn(b *testing.B) {
	for _, name := range []string{"mono_24k.opus", "stereo_60ms.opus"} {
		b.Run(name, func(b *testing.B) {
			benchSource(b, load(b, "formats/"+name), func(r io.Reader) (encode.Source, error) { return encode.NewOpusReader(r) })
		})
	}
}

func BenchmarkG722(b *testing.B) {
	d, code, dst := encode.NewG722Decoder(), load(b, "formats/speech.g722"), []int16(nil)
	b.ReportAllocs()
	for range b.N {
		dst = d.Decode(dst[:0], code)
	}
	msPerMinute(b, float64(len(code))/8000)
}

func BenchmarkWAVOut(b *testing.B) {
	pcm := ramp(30 * 16000)
	f, err := os.Create(filepath.Join(b.TempDir(), "clip.wav"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ReportAllocs()
	for range b.N {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		if err := encode.WriteWAV(f, 16000, pcm); err != nil {
			b.Fatal(err)
		}
	}
	msPerMinute(b, 30)
}

// BenchmarkAgainstFFmpeg decodes ten minutes to 16 kHz mono in this process and with ffmpeg, and reports how many times
// as long as the whole run of ffmpeg ours takes.
func BenchmarkAgainstFFmpeg(b *testing.B) {
	peer(b, "ffmpeg")
	for _, c := range []struct{ name, ext, codec, rate string }{
		{"WAV 48k", "wav", "pcm_s16le", "48000"}, {"WAV 44.1k", "wav", "pcm_s16le", "44100"}, {"mu-law 8k", "wav", "pcm_mulaw", "8000"},
		{"MP3 44.1k", "mp3", "libmp3lame", "44100"}, {"Opus 24k", "opus", "libopus", "48000"},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "clip."+c.ext)
			run(b, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-stream_loop", "-1", "-i", fixture("human.wav"),
				"-t", "600", "-c:a", c.codec, "-ar", c.rate, "-b:a", "24k", path)
			rate, err := strconv.Atoi(c.rate)
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var ours, theirs time.Duration
			for range b.N {
				start := time.Now()
				data, err := os.ReadFile(path)
				if err != nil {
					b.Fatal(err)
				}
				decode16k(b, data, c.ext, rate)
				ours += time.Since(start)
				start = time.Now()
				run(
					b,
					nil,
					"ffmpeg",
					"-y",
					"-hide_banner",
					"-loglevel",
					"error",
					"-i",
					path,
					"-ar",
					"16000",
					"-ac",
					"1",
					"-f",
					"s16le",
					filepath.Join(b.TempDir(), "out"),
				)
				theirs += time.Since(start)
			}
			b.ReportMetric(float64(ours)/float64(theirs), "x-ffmpeg")
			b.ReportMetric(ours.Seconds()*1000/float64(b.N)/10, "ms/min")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func decode16k(b *testing.B, data []byte, ext string, rate int) {
	b.Helper()
	open := map[string]func(io.Reader) (encode.Source, error){
		"wav":  func(r io.Reader) (encode.Source, error) { return encode.NewWAVReader(r) },
		"mp3":  func(r io.Reader) (encode.Source, error) { return encode.NewMP3Reader(r) },
		"opus": func(r io.Reader) (encode.Source, error) { return encode.NewOpusReader(r) },
	}[ext]
	src, err := open(bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	rs, err := encode.NewResampler(src.Format().Rate, 16000)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]float32, 4096)
	var x []float32
	pcm := make([]int16, 8192)
	for {
		n, err := src.Read(buf)
		x = rs.Process(x[:0], buf[:n])
		encode.ToInt16(pcm, x)
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen measures the search for further recordings in a file of ten minutes, which precedes decoding.
func BenchmarkOpen(b *testing.B) {
	pcm := bytes.Repeat(load(b, "human.wav")[44:], 26)
	path := filepath.Join(b.TempDir(), "call.wav")
	if err := os.WriteFile(path, riff(chunk("fmt ", fmtChunk(1, 1, 16000, 16)), chunk("data", pcm)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		src, err := encode.Open(b.Context(), path, nil)
		if err != nil {
			b.Fatal(err)
		}
		src.Close()
	}
	msPerMinute(b, float64(len(pcm))/32000)
}
