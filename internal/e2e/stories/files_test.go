package stories_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/demo"
	"callscreen/internal/replay"
	"callscreen/internal/report"
	"callscreen/policy"
)

// listener is an analysis API that hears the tone.
type listener struct{}

func (listener) Analyze(_ context.Context, clip analyzer.Audio, onJob func(string)) (analyzer.Result, error) {
	f, err := clip.Open()
	if err != nil {
		return analyzer.Result{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return analyzer.Result{}, err
	}
	pcm := make([]int16, (len(data)-44)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(data[44+2*i:]))
	}
	job := fmt.Sprintf("%x", sha256.Sum256(data)) // of this recording, as an API answers
	onJob(job)
	r := analyzer.Result{JobID: job, Score: 0.05}
	if toneIn(pcm, 16000) >= 300*time.Millisecond {
		r.Score = 0.93
	}
	return r, nil
}

// screen replays a recording.
func screenFile(t *testing.T, path string) (report.Report, error) {
	t.Helper()
	s, err := replay.NewScreener(replay.ScreenerConfig{Analyzer: listener{}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	call := replay.NewCall(replay.CallConfig{ID: "call", Policy: policy.Default()})
	r := replay.Replay{
		Legs:    []string{"caller", "agent"},
		Segment: capture.SegmenterConfig{Rate: 16000},
		NewVAD:  func() (capture.VAD, error) { return energy(16000), nil },
		Intake:  s,
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	failed := r.File(t.Context(), call, path)
	s.Done()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return call.Report(), failed
}

// recording is a random file.
type recording struct {
	rng   *rand.Rand
	data  []byte
	tone  time.Duration // of all parts
	parts []string
}

// wav returns a WAV file of some seconds, whose header may lie.
func (f *recording) wav(synthetic bool) []byte {
	rate := []int{8000, 16000}[f.rng.IntN(2)]
	d := time.Duration(6+f.rng.IntN(6)) * time.Second
	pcm := voices()[rate].at(nil, time.Duration(f.rng.IntN(15))*time.Second, d, synthetic)
	channels := 1 + f.rng.IntN(2)
	if channels == 2 { // the voice is in one of them, the other is quiet
		both := make([]int16, 2*len(pcm))
		side := f.rng.IntN(2)
		for i, v := range pcm {
			both[2*i+side] = v
		}
		pcm = both
	}
	tag, bits := uint16(1), 16
	var body []byte
	switch f.rng.IntN(4) {
	case 0:
		tag, bits, body = 7, 8, encode.EncodeMuLaw(nil, pcm)
	case 1:
		tag, bits, body = 6, 8, encode.EncodeALaw(nil, pcm)
	default:
		for _, v := range pcm {
			body = binary.LittleEndian.AppendUint16(body, uint16(v))
		}
	}
	align := channels * bits / 8
	size := len(body)
	lie := f.rng.IntN(6)
	switch lie {
	case 0:
		size = f.rng.IntN(len(body)/align) * align
	case 1:
		size = 0
	case 2:
		size = 0xffffffff
	}
	var b bytes.Buffer
	word := func(v uint32) { _ = binary.Write(&b, binary.LittleEndian, v) }
	half := func(v uint16) { _ = binary.Write(&b, binary.LittleEndian, v) }
	b.WriteString("RIFF")
	word(uint32(min(36+size, 0xffffffff)))
	b.WriteString("WAVEfmt ")
	word(16)
	half(tag)
	half(uint16(channels))
	word(uint32(rate))
	word(uint32(rate * align))
	half(uint16(align))
	half(uint16(bits))
	b.WriteString("data")
	word(uint32(size))
	f.parts = append(f.parts, fmt.Sprintf("WAV(%v, tag %d, %d Hz x%d, %v, size %d of %d)", synthetic, tag, rate, channels, d, size, len(body)))
	b.Write(body)
	if synthetic {
		f.tone += d
	}
	return b.Bytes()
}

// coded returns a part in a compressed format, made by ffmpeg.
func (f *recording) coded(t *testing.T, synthetic bool, clips map[string][]byte) []byte {
	t.Helper()
	names := []string{"opus", "mp3", "flac", "m4a", "mkv", "amr"}
	name := names[f.rng.IntN(len(names))]
	f.parts = append(f.parts, fmt.Sprintf("%s(%v)", name, synthetic))
	if synthetic {
		f.tone += 10 * time.Second
	}
	return clips[fmt.Sprintf("%s %v", name, synthetic)]
}

// build makes the file of one to three parts, at times damaged or cut.
func (f *recording) build(t *testing.T, clips map[string][]byte) {
	t.Helper()
	for range 1 + f.rng.IntN(3) {
		synthetic := f.rng.IntN(2) == 0
		if f.rng.IntN(3) == 0 && len(clips) > 0 {
			f.data = append(f.data, f.coded(t, synthetic, clips)...)
		} else {
			f.data = append(f.data, f.wav(synthetic)...)
		}
		if f.rng.IntN(6) == 0 {
			f.data = append(f.data, make([]byte, f.rng.IntN(3000))...)
		}
	}
	switch f.rng.IntN(8) {
	case 0:
		at := f.rng.IntN(len(f.data))
		n := min(1+f.rng.IntN(400), len(f.data)-at)
		for i := range n {
			f.data[at+i] = byte(f.rng.Uint32())
		}
		f.parts = append(f.parts, fmt.Sprintf("%d bytes damaged at %d", n, at))
	case 1:
		f.data = f.data[:len(f.data)-f.rng.IntN(min(len(f.data), 4000))]
		f.parts = append(f.parts, "cut")
	}
}

// codedClips returns ten seconds of both voices in formats that ffmpeg makes, none if there is no ffmpeg.
func codedClips(t *testing.T) map[string][]byte {
	t.Helper()
	clips := map[string][]byte{}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return clips
	}
	dir := t.TempDir()
	for _, synthetic := range []bool{false, true} {
		source := filepath.Join(dir, "source.wav")
		data, err := encode.WAV(16000, voices()[16000].at(nil, 0, 10*time.Second, synthetic))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(source, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for name, args := range map[string]string{
			"opus": "-b:a 24k -f ogg -c:a libopus",
			"mp3":  "-b:a 32k",
			"flac": "",
			"m4a":  "-b:a 32k",
			"mkv":  "-b:a 32k -c:a aac",
			"amr":  "-f wav -c:a adpcm_ima_wav",
		} {
			path := filepath.Join(dir, "clip."+name)
			cmd := append([]string{"-hide_banner", "-loglevel", "error", "-y", "-i", source}, strings.Fields(args)...)
			if out, err := exec.Command("ffmpeg", append(cmd, path)...).CombinedOutput(); err != nil {
				t.Logf("no %s: %s", name, out)
				delete(clips, name)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				b = demo.Human
				if synthetic {
					b = demo.Synthetic
				}
			}
			clips[fmt.Sprintf("%s %v", name, synthetic)] = b
		}
	}
	return clips
}

// A recording in which the tone stands for five seconds or more is not clear, and its bytes add up.
func TestTheToneOfARecordingDoesNotPass(t *testing.T) {
	clips := codedClips(t)
	outcomes := map[string]int{}
	path := filepath.Join(memory(t), "recording")
	for _, seed := range seeds(t, 60) {
		f := &recording{rng: rand.New(rand.NewPCG(seed, 2))}
		f.build(t, clips)
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := screenFile(t, path)
		outcomes[r.Decision]++
		fail := func(what string) {
			t.Helper()
			_ = os.WriteFile(filepath.Join(os.TempDir(), fmt.Sprintf("recording-%d", seed)), f.data, 0o600)
			t.Errorf("seed %d: %s: %s\n%v\n%+v", seed, what, strings.Join(f.parts, ", "), err, r)
		}
		if f.tone > 0 && r.Decision == "clear" {
			fail("the tone passed")
		}
		if f.tone == 0 && len(f.parts) == 1 && r.Decision == "flagged" { // audio of one codec in another is noise
			fail("there is no tone")
		}
		for _, l := range r.Legs {
			if l.Ledger == nil {
				continue
			}
			if err := l.Ledger.Check(); err != nil {
				fail(err.Error())
			}
		}
	}
	t.Logf("%v", outcomes)
}
