package replay_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/encode"
	"callscreen/internal/replay"
	"callscreen/internal/testkit"
)

// longCall writes a 48 kHz stereo recording of the given length, which repeats the two-leg fixture.
func longCall(tb testing.TB, minutes int) string {
	tb.Helper()
	src, err := encode.Open(tb.Context(), audio+"two-legs.wav", nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	var loop []byte
	var up [2]*encode.Resampler
	for i := range up {
		if up[i], err = encode.NewResampler(16000, 48000); err != nil {
			tb.Fatal(err)
		}
	}
	block, legs := make([]float32, 6400), [2][]float32{}
	pcm := [2][]int16{make([]int16, 20000), make([]int16, 20000)}
	for err == nil {
		var n int
		n, err = src.Read(block)
		for i := range legs {
			legs[i] = up[i].Process(legs[i][:0], encode.Deinterleave(nil, block[:n], 2, i))
			encode.ToInt16(pcm[i], legs[i])
		}
		for i := range min(len(legs[0]), len(legs[1])) {
			for c := range pcm {
				loop = append(loop, byte(pcm[c][i]), byte(pcm[c][i]>>8))
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "long.wav")
	f, err := os.Create(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	// The header is that of a WAV file written to a pipe: the size is unknown, and all following bytes are audio.
	header := []byte(
		"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x80\xbb\x00\x00\x00\xee\x02\x00\x04\x00\x10\x00data\xff\xff\xff\xff",
	)
	if _, err := f.Write(header); err != nil {
		tb.Fatal(err)
	}
	for left := minutes * 60 * 48000 * 4; left > 0; left -= len(loop) {
		if _, err := f.Write(loop[:min(left, len(loop))]); err != nil {
			tb.Fatal(err)
		}
	}
	return file
}

// BenchmarkReplay compares the time from a file to its decision with the time that ffmpeg needs to decode and resample the
// file.
func BenchmarkReplay(b *testing.B) {
	const minutes = 20
	file := longCall(b, minutes)
	cpu := testkit.CPU(b)
	wall := time.Now()
	for b.Loop() {
		bench := newBench(b, simulator.Script{}, nil)
		if r, err := bench.screen(bench.call("long"), file); err != nil || r.Decision != "flagged" {
			b.Fatal(r.Decision, err)
		}
		bench.finish()
	}
	used := testkit.CPU(b) - cpu
	perRun := used.Seconds() / float64(b.N)
	b.ReportMetric(perRun*1000/(2*minutes), "cpu-ms/leg-min")
	b.ReportMetric(minutes*60/perRun, "x-realtime-per-core")
	b.ReportMetric(minutes*60/(time.Since(wall).Seconds()/float64(b.N)), "x-realtime")
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		b.Log("ffmpeg is not installed: no ratio")
		return
	}
	cmd := exec.Command("ffmpeg", "-v", "error", "-i", file, "-ar", "16000", "-f", "s16le", "-y", "/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("ffmpeg: %v %s", err, out)
	}
	theirs := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	b.ReportMetric(perRun/theirs.Seconds(), "x-ffmpeg-decode+resample")
}

// The memory for a recording does not depend on its length.
func TestMemoryDoesNotGrowWithTheRecording(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds")
	}
	peak := func(minutes int) (most uint64) {
		b := newBench(t, simulator.Script{}, func(_ *replay.ScreenerConfig, r *replay.Replay) {
			next := time.Duration(0)
			r.OnProgress = func(at time.Duration) {
				if at < next {
					return
				}
				next = at + 5*time.Second
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse+m.StackInuse)
			}
		})
		if r, err := b.screen(b.call("long"), longCall(t, minutes)); err != nil || r.Decision != "flagged" {
			t.Fatal(r.Decision, err)
		}
		b.finish()
		return most
	}
	peak(1) // allocates the weights of the model and the pools
	short, long := peak(2), peak(12)
	t.Logf("peak heap: %.1f MB for 2 minutes, %.1f MB for 12", float64(short)/1e6, float64(long)/1e6)
	if long > short+20e6 || long > 150e6 {
		t.Errorf("peak heap: %.1f MB for 2 minutes, %.1f MB for 12", float64(short)/1e6, float64(long)/1e6)
	}
}
