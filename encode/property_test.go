package encode_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"callscreen/encode"
)

// The tone must not pass: random files of parts, tracks, false sizes, fillers and damage. Where the tone stands, it comes
// out, or the account has time that was not heard, or the file is refused.

// clips are the voices that random files are made of, each two seconds long.
type clips struct {
	pcm  map[string]map[int][]int16 // by voice and rate
	opus map[string][]byte
	mp3  map[string][][]byte // of several formats; empty without ffmpeg
}

const clipSeconds = 2

var voices = []string{"human", "synthetic"}

func makeClips(t *testing.T) clips {
	c := clips{pcm: map[string]map[int][]int16{}, opus: map[string][]byte{}, mp3: map[string][][]byte{}}
	for _, v := range voices {
		c.pcm[v] = map[int][]int16{}
		for _, rate := range []int{8000, 11025, 16000} {
			c.pcm[v][rate] = voice(t, v+".wav", rate, 4)[rate:][:clipSeconds*rate]
		}
		p := pages(opusFixture(t, v))
		p = p[:2+clipSeconds+1] // a page holds a second
		c.opus[v] = eachPage(join(p...), func(i int, page []byte) {
			if i == len(p)-1 {
				page[5] |= 4 // the end of the stream
			}
		})
		if _, err := exec.LookPath("ffmpeg"); err != nil {
			continue
		}
		formats := [][]string{
			{"-ar", "16000", "-b:a", "32k"}, {"-ar", "24000", "-b:a", "48k"}, {"-ar", "16000", "-ac", "2", "-b:a", "48k"},
		}
		for i, args := range formats {
			path := filepath.Join(t.TempDir(), fmt.Sprintf("%s%d.mp3", v, i))
			source := []string{"-hide_banner", "-loglevel", "error", "-ss", "1", "-t", "2", "-i", fixture(v + ".wav")}
			run(t, nil, "ffmpeg", append(append(source, args...), path)...)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c.mp3[v] = append(c.mp3[v], b)
		}
	}
	return c
}

// story builds a random file, and a description of it.
type story struct {
	rng   *rand.Rand
	clips clips
	words []string
}

func (s *story) say(format string, args ...any) {
	s.words = append(s.words, fmt.Sprintf(format, args...))
}

func pick[T any](s *story, from ...T) T { return from[s.rng.IntN(len(from))] }

// wav makes a WAV file with a header that may lie.
func (s *story) wav(v string) []byte {
	rate := pick(s, 8000, 8000, 11025, 16000)
	pcm := s.clips.pcm[v][rate]
	channels := 1
	if s.rng.IntN(4) == 0 {
		channels = 2
		silent := make([]int16, len(pcm))
		if s.rng.IntN(2) == 0 {
			pcm = interleave(pcm, silent)
		} else {
			pcm = interleave(silent, pcm)
		}
	}
	tag, bits, body := 1, 16, bytesOf(pcm)
	switch s.rng.IntN(5) {
	case 0:
		tag, bits, body = 7, 8, encode.EncodeMuLaw(nil, pcm)
	case 1:
		tag, bits, body = 6, 8, encode.EncodeALaw(nil, pcm)
	case 2:
		bits, body = 24, nil
		for _, x := range pcm {
			body = append(body, 0, byte(x), byte(x>>8))
		}
	}
	f := fmtChunk(tag, channels, rate, bits)
	if tag == 1 && s.rng.IntN(8) == 0 {
		f[12] *= 2 // a wrong block align
		s.say("align %d", f[12])
	}
	s.say("WAV(%s tag %d, %d bits, %d Hz x%d)", v, tag, bits, rate, channels)
	chunks := [][]byte{s.extra(), chunk("fmt ", f), s.extra()}
	align := channels * bits / 8
	cut := s.rng.IntN(len(body)/align) * align
	lie := s.rng.IntN(8)
	if lie == 0 {
		s.say("two data chunks")
		chunks = append(chunks, chunk("data", body[:cut]), s.extra(), chunk("data", body[cut:]))
		return riff(chunks...)
	}
	b := riff(append(chunks, chunk("data", body))...)
	at := bytes.LastIndex(b[:len(b)-len(body)], []byte("data"))
	set := func(riffSize, data uint32) []byte { return patch(patch(b, 4, le32(riffSize)...), at+4, le32(data)...) }
	switch lie {
	case 1:
		s.say("placeholder size")
		size := pick[uint32](s, 0xffffffff, 0x7fffffff, 0x7ffff000)
		b = set(size, size)
	case 2:
		s.say("size of %d of %d", cut, len(body))
		b = set(uint32(at+cut), uint32(cut))
	case 3:
		s.say("size 0")
		b = set(0, 0)
	case 4:
		if channels*bits == 16 {
			s.say("odd size")
			b = set(uint32(at+cut), uint32(cut|1))
		}
	case 5:
		if bits == 16 && s.rng.IntN(2) == 0 && len(chunks[0])+len(chunks[2]) == 0 {
			s.say("RIFX")
			b = swapped(b)
		}
	default:
		b = append(b, s.extra()...)
	}
	return b
}

// extra is a chunk that holds no audio, or nothing.
func (s *story) extra() []byte {
	switch s.rng.IntN(10) {
	case 0:
		return chunk("JUNK", make([]byte, s.rng.IntN(5000)))
	case 1:
		return chunk("LIST", []byte("INFOISFT\x06\x00\x00\x00Recor\x00"))
	case 2:
		return chunk("bext", append([]byte("call of the day"), make([]byte, 600)...))
	}
	return nil
}

// part is a recording.
func (s *story) part(v string) []byte {
	switch s.rng.IntN(8) {
	case 0:
		s.say("Opus(%s)", v)
		return withSerial(s.clips.opus[v], s.rng.Uint32())
	case 1:
		if len(s.clips.mp3[v]) > 0 {
			i := s.rng.IntN(3)
			s.say("MP3(%s %d)", v, i)
			return s.clips.mp3[v][i]
		}
	case 2:
		if other := pick(s, voices...); s.rng.IntN(2) == 0 {
			s.say("Opus(%s and %s)", v, other)
			a, b := withSerial(s.clips.opus[v], 1+2*s.rng.Uint32N(1<<30)), withSerial(s.clips.opus[other], 2*s.rng.Uint32N(1<<30))
			if s.rng.IntN(2) == 0 {
				a, b = b, a
			}
			return multiplexed(a, b)
		}
	}
	return s.wav(v)
}

// filler stands between two recordings.
func (s *story) filler() []byte {
	switch s.rng.IntN(8) {
	case 0:
		s.say("zeros")
		return make([]byte, s.rng.IntN(4000))
	case 1:
		s.say("ID3v1")
		return append([]byte("TAG"), make([]byte, 125)...)
	case 2:
		s.say("text")
		return bytes.Repeat([]byte("agent 12\r\n"), 1+s.rng.IntN(50))
	}
	return nil
}

// build makes a file. tone is whether the synthetic voice is in it.
func (s *story) build() (file []byte, tone, damaged bool) {
	for range 1 + s.rng.IntN(3) {
		v := pick(s, voices...)
		tone = tone || v == "synthetic"
		words := len(s.words)
		file = append(file, s.part(v)...)
		for _, w := range s.words[words:] {
			tone = tone || bytes.Contains([]byte(w), []byte("synthetic"))
		}
		file = append(file, s.filler()...)
	}
	switch s.rng.IntN(6) {
	case 0:
		damaged = true
		for range 1 + s.rng.IntN(3) {
			at := 700 + s.rng.IntN(len(file)-700)
			n := min(1+s.rng.IntN(300), len(file)-at)
			s.say("%d bytes damaged at %d of %d", n, at, len(file))
			copy(file[at:at+n], noise(n, s.rng.Uint64()))
		}
	case 1:
		damaged = true
		n := s.rng.IntN(min(len(file)/4, 6000))
		s.say("cut by %d bytes", n)
		file = file[:len(file)-n]
	}
	return file, tone, damaged
}

func TestTheToneDoesNotPass(t *testing.T) {
	seeds := uint64(2000)
	if testing.Short() {
		seeds = 200
	}
	c := makeClips(t)
	dir := t.TempDir()
	var wg sync.WaitGroup
	queue := make(chan uint64)
	for range 2 {
		wg.Go(func() {
			for seed := range queue {
				checkStory(t, c, filepath.Join(dir, fmt.Sprint(seed)), seed)
			}
		})
	}
	for seed := range seeds {
		queue <- seed
	}
	close(queue)
	wg.Wait()
}

// checkStory builds one file and reads it.
func checkStory(t *testing.T, c clips, path string, seed uint64) {
	s := &story{rng: rand.New(rand.NewPCG(seed, 13)), clips: c}
	file, tone, damaged := s.build()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Error(err)
		return
	}
	defer os.Remove(path)
	h := hear(t, path, &encode.Options{NoFFmpeg: true})
	unheard := h.account.Unheard()
	switch {
	case tone && !damaged && h.err != nil:
		t.Errorf("seed %d: %v: %q", seed, h.err, s.words)
	case tone && h.err == nil && h.tone+unheard.Seconds() < 1:
		t.Errorf("seed %d: the tone is there for %.1f of %.1f s, %v unheard: %q", seed, h.tone, h.seconds, unheard, s.words)
	case !damaged && unheard > 500*time.Millisecond:
		t.Errorf("seed %d: %v unheard of a whole file: %q %+v", seed, unheard, s.words, h.account)
	case !tone && h.tone > 0.5:
		t.Errorf("seed %d: a tone of %.1f s that is not there: %q", seed, h.tone, s.words)
	}
}
