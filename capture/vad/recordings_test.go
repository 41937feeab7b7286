package vad_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"callscreen/capture"
)

// decode returns a file as mono PCM, decoded by ffmpeg.
func decode(t *testing.T, file string, rate int) []int16 {
	t.Helper()
	args := []string{"-v", "error", "-i", file, "-f", "s16le", "-ac", "1", "-ar", fmt.Sprint(rate), "-"}
	if strings.HasSuffix(file, ".g722") {
		args = append([]string{"-f", "g722"}, args...)
	}
	out, err := exec.Command("ffmpeg", args...).Output()
	if err != nil {
		t.Fatalf("ffmpeg %s: %v", file, err)
	}
	return samples(out)
}

// recordings returns every n-th of the files of a Debian package.
func recordings(t *testing.T, pattern string, every int) []string {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		missing = "ffmpeg"
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		missing = pattern
	}
	if missing != "" {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatalf("%s is not installed", missing)
		}
		t.Skipf("%s is not installed", missing)
	}
	slices.Sort(files)
	var some []string
	for i := 0; i < len(files); i += every {
		some = append(some, files[i])
	}
	return some
}

// level returns the mean of squares.
func level(pcm []int16) float64 {
	sum := 0.0
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return sum / float64(max(len(pcm), 1))
}

// spoken reports for each frame of a clean recording whether it holds speech: whether it is within 30 dB of the level of
// the louder half of the frames.
func spoken(pcm []int16, frame int) []bool {
	var levels []float64
	for i := 0; i+frame <= len(pcm); i += frame {
		levels = append(levels, level(pcm[i:i+frame]))
	}
	sorted := slices.Sorted(slices.Values(levels))
	truth := make([]bool, len(levels))
	if len(sorted) == 0 {
		return truth
	}
	floor := sorted[len(sorted)*3/4] / 1000
	for i, l := range levels {
		truth[i] = l > floor && l > 30*30
	}
	return truth
}

// tally counts frames by true and detected class.
type tally struct{ speech, missed, other, alarms int }

func (y tally) miss() float64       { return 100 * float64(y.missed) / float64(max(y.speech, 1)) }
func (y tally) falseAlarm() float64 { return 100 * float64(y.alarms) / float64(max(y.other, 1)) }

func (y *tally) add(heard []capture.Sound, truth []bool) {
	for i, s := range heard {
		switch {
		case truth != nil && truth[i]:
			y.speech++
			if s != capture.Speech {
				y.missed++
			}
		default:
			y.other++
			if s == capture.Speech {
				y.alarms++
			}
		}
	}
}

// noSpeech names the recordings among the prompts that hold tones or, in one case, monkeys.
func noSpeech(file string) bool {
	for _, word := range []string{"tone", "beep", "silence", "monkeys"} {
		if strings.Contains(file, word) {
			return true
		}
	}
	return false
}

func hear(t *testing.T, pcm []int16, rate int) (sounds []capture.Sound) {
	t.Helper()
	d := newDetector(t, rate)
	since := hangOver
	for n := d.FrameSize(); len(pcm) >= n; pcm = pcm[n:] {
		sound := d.Classify(pcm[:n])
		if sound == capture.Speech {
			since = 0
		} else if since++; since <= hangOver {
			sound = capture.Speech
		}
		sounds = append(sounds, sound)
	}
	return sounds
}

// hangOver is the segmenter's, 300 ms, in frames. Frames this close to speech belong to it.
const hangOver = 9

// scale returns the audio with its loudest part at a level in dBFS.
func scale(pcm []int16, rate int, dBFS float64) []int16 {
	loud := 0.0
	for i := 0; i+rate/4 <= len(pcm); i += rate / 4 {
		loud = max(loud, level(pcm[i:i+rate/4]))
	}
	gain := math.Pow(10, dBFS/20) * 32768 / math.Sqrt(max(loud, 1))
	out := make([]int16, len(pcm))
	for i, s := range pcm {
		out[i] = int16(max(-32768, min(32767, math.Round(float64(s)*gain))))
	}
	return out
}

// mixed adds noise at a distance in dB from the loudest part of the speech, which is the usual meaning of the ratio for
// speech with pauses.
func mixed(pcm, noise []int16, rate int, snr float64) []int16 {
	noise = scale(noise, rate, -20-snr)
	out := scale(pcm, rate, -20)
	for i := range out {
		out[i] = int16(max(-32768, min(32767, int(out[i])+int(noise[i%len(noise)]))))
	}
	return out
}

func coloured(n int, pole float64) []int16 {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([]int16, n)
	x := 0.0
	for i := range out {
		x = pole*x + rng.NormFloat64()
		out[i] = int16(max(-32768, min(32767, 2000*(1-pole)*x)))
	}
	return out
}

// The limits of the detector, on recordings with and without speech. The package documentation holds the table that this
// test logs.
func TestRecordings(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of audio")
	}
	prompts := recordings(t, "/usr/share/asterisk/sounds/en_US_f_Allison/*.g722", 10)
	for _, lang := range []string{"es", "fr"} {
		prompts = append(prompts, recordings(t, "/usr/share/asterisk/sounds/"+lang+"*/*.g722", 20)...)
	}
	music := recordings(t, "/usr/share/asterisk/moh/*.g722", 1)
	for _, rate := range []int{16000, 8000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			rows := map[string]*tally{}
			row := func(name string) *tally {
				if rows[name] == nil {
					rows[name] = &tally{}
				}
				return rows[name]
			}
			frame := newDetector(t, rate).FrameSize()
			var speech []int16 // all prompts one after the other, as an announcement would be heard
			for _, file := range prompts {
				pcm := decode(t, file, rate)
				if len(pcm) > 30*rate || noSpeech(file) {
					continue
				}
				speech = append(speech, pcm...)
				speech = append(speech, make([]int16, rate/2)...)
			}
			truth := spoken(speech, frame)
			hold := decode(t, music[0], rate)
			row("clean prompts").add(hear(t, scale(speech, rate, -20), rate), truth)
			row("prompts at -45 dBFS").add(hear(t, scale(speech, rate, -45), rate), truth)
			white, brown := coloured(len(speech), 0), coloured(len(speech), 0.98)
			for _, snr := range []float64{20, 10} {
				row(fmt.Sprintf("white noise %v dB", snr)).add(hear(t, mixed(speech, white, rate, snr), rate), truth)
				row(fmt.Sprintf("brown noise %v dB", snr)).add(hear(t, mixed(speech, brown, rate, snr), rate), truth)
			}
			row("music under speech 15 dB").add(hear(t, mixed(speech, hold, rate, 15), rate), truth)
			for _, file := range music {
				pcm := decode(t, file, rate)
				row("hold music").add(hear(t, pcm[:min(len(pcm), 60*rate)], rate), nil)
			}
			for name, pairs := range map[string][][2]float64{
				"ring-back": {{440, 480}, {425, 425}, {400, 450}},
				"DTMF":      {{697, 1209}, {770, 1336}, {852, 1477}, {941, 1336}, {697, 1633}, {852, 1209}},
			} {
				on, off := 2*rate, 4*rate
				if name == "DTMF" {
					on, off = rate/10, rate/10
				}
				for _, pair := range pairs {
					var pcm []int16
					for i := range 20 * rate {
						s := 0.0
						if i%(on+off) < on {
							s = 6000 * (math.Sin(2*math.Pi*pair[0]*float64(i)/float64(rate)) + math.Sin(2*math.Pi*pair[1]*float64(i)/float64(rate)))
						}
						pcm = append(pcm, int16(s))
					}
					heard := hear(t, pcm, rate)
					row(name).add(heard, nil)
					tones := 0
					for _, s := range heard {
						if s == capture.Tone {
							tones++
						}
					}
					if tones*6 < len(heard) {
						t.Errorf("%s %v: only %d of %d frames are heard as a tone", name, pair, tones, len(heard))
					}
				}
			}
			for _, name := range []string{
				"clean prompts",
				"prompts at -45 dBFS",
				"white noise 20 dB",
				"white noise 10 dB",
				"brown noise 20 dB",
				"brown noise 10 dB",
				"music under speech 15 dB",
			} {
				t.Logf("%-28s missed %4.1f %% of %4.0f s of speech", name, row(name).miss(), float64(row(name).speech)*0.032)
			}
			for _, name := range []string{"hold music", "ring-back", "DTMF"} {
				t.Logf("%-28s false alarms in %4.1f %% of %4.0f s", name, row(name).falseAlarm(), float64(row(name).other)*0.032)
			}
			check := func(name string, got, limit float64, frames int) {
				if frames < 500 {
					t.Errorf("%s: only %d frames", name, frames)
				}
				if got > limit {
					t.Errorf("%s: %.2f %%, more than %.0f %%", name, got, limit)
				}
			}
			check("speech missed in clean prompts", row("clean prompts").miss(), 2, row("clean prompts").speech)
			check("speech missed in quiet prompts", row("prompts at -45 dBFS").miss(), 2, row("prompts at -45 dBFS").speech)
			check("false alarms in hold music", row("hold music").falseAlarm(), 3, row("hold music").other)
			check("false alarms in ring-back", row("ring-back").falseAlarm(), 1, row("ring-back").other)
			check("false alarms in DTMF", row("DTMF").falseAlarm(), 1, row("DTMF").other)
		})
	}
}
