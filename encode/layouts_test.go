package encode_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/encode"
)

// layoutsOf returns the channel layouts of 2 to 8 channels that ffmpeg knows, with their sizes.
func layoutsOf(t *testing.T) map[string]int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), peer(t, "ffmpeg"), "-hide_banner", "-layouts").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]int{"FC+LFE": 2, "FC+BC": 2, "FL+FC": 2, "LFE+BC+SL": 3}
	_, standard, _ := strings.Cut(string(out), "Standard channel layouts")
	for lines := bufio.NewScanner(bytes.NewReader([]byte(standard))); lines.Scan(); {
		name, channels, _ := strings.Cut(lines.Text(), " ")
		if n := strings.Count(channels, "+") + 1; n >= 2 && n <= 8 && name != "NAME" && name != "downmix" {
			list[name] = n
		}
	}
	return list
}

// Each channel of a layout has a tone of its own, and is read unmixed at its place. Known fault: ffmpeg converted layouts to the usual one
// of as many channels, so that LFE vanished and legs changed places.
func TestChannelsAreReadUnmixed(t *testing.T) {
	const rate = 8000
	checked := 0
	for layout, channels := range layoutsOf(t) {
		var tones []string
		for c := range channels {
			tones = append(tones, fmt.Sprintf("0.3*sin(2*PI*t*%d)", 300*(c+1)))
		}
		for _, ext := range []string{"flac", "w64", "caf"} {
			path := filepath.Join(t.TempDir(), "call."+ext)
			input := fmt.Sprintf("aevalsrc='%s':c=%s:s=%d:d=1", strings.Join(tones, "|"), layout, rate)
			if out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", input, path).CombinedOutput(); err != nil {
				t.Logf("%s in %s cannot be written: %s", layout, ext, out)
				continue
			}
			heard, err := tonesOf(t, path, rate)
			if err != nil || len(heard) != channels {
				t.Errorf("%s in %s: %d channels, %v", layout, ext, len(heard), err)
				continue
			}
			checked++
			for c, tone := range heard {
				if tone != 300*(c+1) {
					t.Errorf("%s in %s: channel %d has %d Hz", layout, ext, c, tone)
				}
			}
		}
	}
	if checked < 60 {
		t.Errorf("%d files were checked", checked)
	}
}

// tonesOf returns the loudest of the tones 300, 600, ... 2400 Hz in each channel, 0 unless nearly all of the energy is in it.
func tonesOf(t *testing.T, path string, rate int) (tones []int, err error) {
	t.Helper()
	src, err := encode.Open(deadline(t), path, nil)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	channels := src.Format().Channels
	var all []float32
	for buf := make([]float32, 4096*channels); ; {
		n, err := src.Read(buf)
		all = append(all, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	for c := range channels {
		energy, best, tone := 0.0, 0.0, 0
		for i := c; i < len(all); i += channels {
			energy += float64(all[i]) * float64(all[i])
		}
		for hz := 300; hz <= 2400; hz += 300 {
			re, im := 0.0, 0.0
			for i := c; i < len(all); i += channels {
				phase := 2 * math.Pi * float64(hz) * float64(i/channels) / float64(rate)
				re += float64(all[i]) * math.Cos(phase)
				im += float64(all[i]) * math.Sin(phase)
			}
			if power := 2 * (re*re + im*im) / float64(len(all)/channels); power > best {
				best, tone = power, hz
			}
		}
		if best < 0.95*energy {
			tone = 0
		}
		tones = append(tones, tone)
	}
	return tones, nil
}
