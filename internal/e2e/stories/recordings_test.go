package stories_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/encode"
)

// chunk returns a chunk of a RIFF file. size replaces its stated length unless it is negative.
func chunk(name string, data []byte, size int) []byte {
	if size < 0 {
		size = len(data)
	}
	return append(binary.LittleEndian.AppendUint32([]byte(name), uint32(size)), data...)
}

// format returns the fmt chunk of 16-bit mono PCM at 8 kHz.
func format(align, byteRate int) []byte {
	b := binary.LittleEndian.AppendUint16(nil, 1)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 8000)
	b = binary.LittleEndian.AppendUint32(b, uint32(byteRate))
	b = binary.LittleEndian.AppendUint16(b, uint16(align))
	return chunk("fmt ", binary.LittleEndian.AppendUint16(b, 16), -1)
}

func riff(name string, size int, chunks ...[]byte) []byte {
	body := append([]byte("WAVE"), bytes.Join(chunks, nil)...)
	return chunk(name, body, size)
}

// narrow returns some seconds of a voice as 16-bit PCM at 8 kHz.
func narrow(seconds int, tone bool) (b []byte) {
	for _, v := range voices()[8000].at(nil, 0, time.Duration(seconds)*time.Second, tone) {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// ffmpeg makes a file of the voices h.wav and s.wav with these arguments, or skips the test.
func ffmpeg(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("there is no ffmpeg")
	}
	dir := t.TempDir()
	for file, tone := range map[string]bool{"h.wav": false, "s.wav": true} {
		data, err := encode.WAV(16000, voices()[16000].at(nil, 0, 9*time.Second, tone))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-y"}, args...), name)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("ffmpeg cannot make %s: %s", name, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// recordings were clear although half of them, or all, was synthetic; the others were read well and must stay so. They are
// named after what was wrong.
var recordings = []struct {
	name, file string
	make       func(t *testing.T) []byte
	want       string // the outcome, or part of an error
}{
	{"the header had the size of the first part", "a.wav", func(*testing.T) []byte {
		h, s := narrow(8, false), narrow(9, true)
		return riff("RIFF", 36+len(h), format(2, 16000), chunk("data", append(h, s...), len(narrow(8, false))))
	}, "flagged"},
	{"the 32-bit size of an RF64 file was that of the first part", "a.wav", func(*testing.T) []byte {
		h, s := narrow(8, false), narrow(9, true)
		all := append(slices.Clone(h), s...)
		sizes := binary.LittleEndian.AppendUint64(nil, uint64(len(all)+72))
		sizes = binary.LittleEndian.AppendUint64(sizes, uint64(len(all)))
		sizes = binary.LittleEndian.AppendUint64(sizes, uint64(len(all)/2))
		sizes = binary.LittleEndian.AppendUint32(sizes, 0)
		return riff("RF64", 0xffffffff, chunk("ds64", sizes, -1), format(2, 16000), chunk("data", all, len(h)))
	}, "flagged"},
	{"the block align of mono was that of stereo", "a.wav", func(*testing.T) []byte {
		return riff("RIFF", -1, format(4, 32000), chunk("data", narrow(9, true), -1))
	}, "flagged"},
	{"a wrong byte rate", "a.wav", func(*testing.T) []byte {
		return riff("RIFF", -1, format(2, 4711), chunk("data", narrow(9, true), -1))
	}, "flagged"},
	{"0x7fffffff in both sizes", "a.wav", func(*testing.T) []byte {
		return riff("RIFF", 0x7fffffff, format(2, 16000), chunk("data", narrow(9, true), 0x7fffffff))
	}, "flagged"},
	{"an odd chunk without its padding", "a.wav", func(*testing.T) []byte {
		return riff("RIFF", -1, format(2, 16000), chunk("odd ", []byte("abc"), -1), chunk("data", narrow(9, true), -1))
	}, ""},
	{"the rate of a joined MP3 changed", "a.mp3", func(t *testing.T) []byte {
		return append(ffmpeg(t, "a.mp3", "-i", "h.wav", "-ar", "44100", "-b:a", "48k"),
			ffmpeg(t, "b.mp3", "-i", "s.wav", "-ar", "22050", "-b:a", "32k")...)
	}, "flagged"},
	{"a joined MP3 became stereo", "a.mp3", func(t *testing.T) []byte {
		return append(ffmpeg(t, "a.mp3", "-i", "h.wav", "-ar", "44100", "-b:a", "48k"),
			ffmpeg(t, "b.mp3", "-i", "s.wav", "-ar", "44100", "-ac", "2", "-b:a", "48k")...)
	}, "flagged"},
	{"the second track of an MP4 was not heard", "a.mp4", func(t *testing.T) []byte {
		return ffmpeg(t, "a.mp4", "-i", "h.wav", "-i", "s.wav", "-map", "0:a", "-map", "1:a", "-c:a", "aac", "-b:a", "24k")
	}, "flagged"},
	{"the second track of a Matroska file was not heard", "a.mkv", func(t *testing.T) []byte {
		return ffmpeg(t, "a.mkv", "-i", "h.wav", "-i", "s.wav", "-map", "0:a", "-map", "1:a", "-c:a", "libopus", "-b:a", "24k")
	}, "flagged"},
	{"WAV with GSM", "a.WAV", func(t *testing.T) []byte {
		return ffmpeg(t, "a.wav", "-i", "s.wav", "-ar", "8000", "-c:a", "libgsm_ms")
	}, "flagged"},
	{"WebM without a duration", "a.webm", func(t *testing.T) []byte {
		return ffmpeg(t, "a.webm", "-i", "s.wav", "-c:a", "libopus", "-live", "1")
	}, "flagged"},
	{"WebM that is cut off", "a.webm", func(t *testing.T) []byte {
		b := ffmpeg(t, "a.webm", "-i", "s.wav", "-c:a", "libopus", "-live", "1")
		return b[:len(b)-len(b)/5]
	}, "flagged"},
	{"only a human voice", "a.wav", func(*testing.T) []byte {
		return riff("RIFF", -1, format(2, 16000), chunk("data", narrow(12, false), -1))
	}, "clear"},
}

func TestRecordingsThatWereClear(t *testing.T) {
	for _, c := range recordings {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(path, c.make(t), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := screenFile(t, path)
			switch {
			case c.want == "" && r.Decision == "clear":
				t.Errorf("the call is clear, %v", err)
			case c.want != "" && (r.Decision != c.want || err != nil):
				t.Errorf("the call is %s, %v, %s: %v", r.Decision, r.Reasons, strings.Join(r.Warnings, "; "), err)
			}
			for _, l := range r.Legs {
				if l.Ledger == nil {
					t.Errorf("leg %s has no ledger", l.Leg)
				} else if err := l.Ledger.Check(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
