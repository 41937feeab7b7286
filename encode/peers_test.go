package encode_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"callscreen/encode"
)

// peer returns the path of a program, and skips the test without it, or fails it where peers are required.
func peer(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatalf("%s is not installed, and CALLSCREEN_REQUIRE_PEERS=1", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// run runs a program to its end and returns what it printed.
func run(t testing.TB, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	path := peer(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
}

// ffmpegPCM decodes a file to 16-bit PCM.
func ffmpegPCM(t testing.TB, path string, args ...string) []int16 {
	t.Helper()
	all := append([]string{"-hide_banner", "-loglevel", "error", "-i", path}, args...)
	return int16s(run(t, nil, "ffmpeg", append(all, "-f", "s16le", "-c:a", "pcm_s16le", "-")...))
}

func int16s(b []byte) []int16 {
	out := make([]int16, len(b)/2)
	for i := range out {
		out[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return out
}

func bytesOf(pcm []int16) []byte {
	out := make([]byte, 2*len(pcm))
	for i, v := range pcm {
		binary.LittleEndian.PutUint16(out[2*i:], uint16(v))
	}
	return out
}

// fixture is the path of a committed clip.
func fixture(name string) string { return filepath.Join("..", "testdata", "audio", name) }

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(fixture(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readAll reads a Source to its end and returns all samples, and the error if it is not io.EOF.
func readAll(t testing.TB, src encode.Source) ([]float32, error) {
	t.Helper()
	return readBlocks(t, src, func() int { return 4096 })
}

// readBlocks reads with buffers of the sizes that size returns, in frames.
func readBlocks(t testing.TB, src encode.Source, size func() int) ([]float32, error) {
	t.Helper()
	ch := src.Format().Channels
	var out []float32
	var buf []float32
	for {
		n := size() * ch
		if cap(buf) < n {
			buf = make([]float32, n)
		}
		n, err := src.Read(buf[:n])
		if n%ch != 0 {
			t.Fatalf("Read returned %d samples of %d channels", n, ch)
		}
		if n > 0 && err != nil {
			t.Fatalf("Read returned %d samples and %v", n, err)
		}
		out = append(out, buf[:n]...)
		if err != nil {
			checkAccount(t, src)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if n == 0 {
			t.Fatal("Read returned nothing and no error")
		}
	}
}

// to16 converts without saturating silently.
func to16(t testing.TB, x []float32) []int16 {
	t.Helper()
	out := make([]int16, len(x))
	encode.ToInt16(out, x)
	return out
}

// snr is the ratio of the energy of want to that of the difference, in dB, over the samples that both have.
func snr(got, want []int16) float64 {
	n := min(len(got), len(want))
	var signal, noise float64
	for i := range n {
		d := float64(got[i]) - float64(want[i])
		signal += float64(want[i]) * float64(want[i])
		noise += d * d
	}
	return 10 * math.Log10(signal/max(noise, 1e-9))
}

// checkAccount fails if the account of a Source that has ended does not close.
func checkAccount(t testing.TB, src encode.Source) encode.Account {
	t.Helper()
	a := encode.AccountOf(src)
	if err := a.Check(); err != nil {
		t.Errorf("%v", err)
	}
	return a
}

// checkWhole fails if the account of a Source does not cover a file of the given size.
func checkWhole(t testing.TB, src encode.Source, size int) encode.Account {
	t.Helper()
	a := checkAccount(t, src)
	if a.Size != int64(size) {
		t.Errorf("the account covers %d of %d bytes", a.Size, size)
	}
	return a
}
