package encode_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// muxed makes a file of several inputs.
func muxed(t testing.TB, ext string, inputs []string, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip."+ext)
	all := []string{"-hide_banner", "-loglevel", "error", "-y"}
	for _, in := range inputs {
		all = append(all, "-t", "9", "-i", fixture(in))
	}
	run(t, nil, "ffmpeg", append(append(all, args...), "-map_metadata", "-1", path)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Known fault: only the first audio track was heard.
func TestEveryTrackIsHeard(t *testing.T) {
	if testing.Short() {
		t.Skip("many files of ffmpeg; the tests without -short read them")
	}
	two := []string{"human.wav", "synthetic.wav"}
	picture := filepath.Join(t.TempDir(), "cover.png")
	run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=320x240", "-frames:v", "1", picture)
	tracks := []string{"-map", "0:a", "-map", "1:a"}
	for name, b := range map[string][]byte{
		"mp4":         muxed(t, "mp4", two, append(tracks, "-c:a", "aac", "-b:a", "24k")...),
		"mkv":         muxed(t, "mkv", two, append(tracks, "-c:a", "libopus", "-b:a", "16k")...),
		"other rates": muxed(t, "mka", two, append(tracks, "-c:a", "pcm_s16le", "-ar:a:0", "8000", "-ar:a:1", "44100")...),
		"language": muxed(t, "mp4", two, append(tracks, "-c:a", "aac", "-metadata:s:a:0", "language=deu",
			"-metadata:s:a:1", "language=fra")...),
		"not default": muxed(t, "mkv", two, append(tracks, "-c:a", "flac", "-disposition:a:0", "default", "-disposition:a:1", "0")...),
		"starts late": muxed(t, "mkv", two, "-filter_complex", "[1:a]asetpts=PTS+3/TB[b]", "-map", "0:a", "-map", "[b]", "-c:a", "flac"),
		"with video": muxed(t, "mp4", two, "-f", "lavfi", "-i", "testsrc=d=9:s=64x64",
			"-map", "2:v", "-map", "0:a", "-map", "1:a", "-c:a", "aac"),
		"with a picture": muxed(t, "m4a", two, "-i", picture, "-map", "0:a", "-map", "1:a", "-map", "2:v", "-c:a", "aac", "-c:v", "copy",
			"-disposition:v:0", "attached_pic"),
		"Vorbis and Opus in Ogg": muxed(t, "ogg", two, append(tracks, "-c:a:0", "libvorbis", "-c:a:1", "libopus")...),
	} {
		h := hearBytes(t, b)
		if h.err != nil || h.tone < 5 || len(h.tracks) != 2 || h.account.Unheard() > 100*time.Millisecond {
			t.Errorf("%s: the tone is there for %.1f s of %.1f s, %v, tracks %+v, %+v", name, h.tone, h.seconds, h.err, h.tracks, h.account)
		}
		if name == "language" && (len(h.tracks) != 2 || h.tracks[1].Name != "fra") {
			t.Errorf("tracks are %+v", h.tracks)
		}
	}
}

// Known fault: only the first of joined files was heard.
func TestEveryPartIsHeard(t *testing.T) {
	if testing.Short() {
		t.Skip("many files of ffmpeg; the tests without -short read them")
	}
	one := func(ext string, args ...string) [2][]byte {
		return [2][]byte{muxed(t, ext, []string{"human.wav"}, args...), muxed(t, ext, []string{"synthetic.wav"}, args...)}
	}
	streamed := []string{"-c:a", "libopus", "-b:a", "16k", "-live", "1"}
	for name, p := range map[string][2][]byte{
		"flac":           one("flac"),
		"m4a":            one("m4a", "-c:a", "aac", "-b:a", "24k"),
		"fragmented mp4": one("mp4", "-c:a", "aac", "-b:a", "24k", "-movflags", "empty_moov+default_base_moof", "-frag_duration", "1000000"),
		"webm":           one("webm", "-c:a", "libopus", "-b:a", "16k"),
		"webm, no sizes": one("webm", streamed...),
		"ADPCM":          one("wav", "-c:a", "adpcm_ima_wav", "-ar", "8000"),
		"aiff":           one("aiff"),
		"au":             one("au"),
		"caf":            one("caf", "-c:a", "pcm_s16be"),
		"w64":            one("w64"),
		"vorbis":         one("ogg", "-c:a", "libvorbis"),
		"aac":            one("aac", "-c:a", "aac", "-b:a", "24k"),
		"layer II":       one("mp2", "-c:a", "mp2"),
	} {
		for order, b := range map[string][]byte{
			"joined": join(p[0], p[1]), "behind WAV": join(wav16(8000, voice(t, "human.wav", 8000, 8)), p[1]),
			"before WAV": join(p[0], wav16(8000, voice(t, "synthetic.wav", 8000, 9))), "alone": p[1],
		} {
			if order == "behind WAV" && (name == "aac" || name == "layer II") {
				continue // they have no header: bytes behind a WAV are its audio
			}
			h := hearBytes(t, b)
			if h.err != nil || h.tone < 5 && h.account.Unheard() < 5*time.Second {
				t.Errorf("%s %s: the tone is there for %.1f s of %.1f s, %v, %+v", name, order, h.tone, h.seconds, h.err, h.account)
			}
			if order == "alone" && h.account.Unheard() > 100*time.Millisecond {
				t.Errorf("%s %s: %+v", name, order, h.account)
			}
		}
	}
}

// Audio behind the stated size, or outside of what an index or an edit list shows.
func TestFFmpegBooksWhatIsHidden(t *testing.T) {
	human, synthetic := muxed(t, "w64", []string{"human.wav"}), bytesOf(voice(t, "synthetic.wav", 16000, 9))
	aiff := muxed(t, "aiff", []string{"human.wav"})
	m4a := muxed(t, "m4a", []string{"synthetic.wav"}, "-c:a", "aac", "-b:a", "24k")
	alone := muxed(t, "m4a", []string{"human.wav"}, "-c:a", "aac", "-b:a", "24k")
	adpcm := muxed(t, "wav", []string{"synthetic.wav"}, "-c:a", "adpcm_ima_wav", "-ar", "8000")
	short := patch(adpcm, bytes.Index(adpcm, []byte("data"))+4, le32(4096)...)
	webm := muxed(t, "webm", []string{"synthetic.wav"}, "-c:a", "libopus", "-b:a", "16k")
	for name, b := range map[string][]byte{
		"PCM behind W64":            join(human, synthetic),
		"PCM behind AIFF":           join(aiff, synthetic),
		"ADPCM, short size":         short,
		"edit list of one second":   editedTo(t, m4a, 1000),
		"index of the first second": indexOf(t, m4a, 16),
		"MP4 behind a free box":     join(alone, []byte{0, 0, 0, 8, 'f', 'r', 'e', 'e'}, m4a),
		"cut":                       m4a[:len(m4a)/2],
		"cut WebM":                  webm[:len(webm)/2],
	} {
		h := hearBytes(t, b)
		if h.err == nil && h.tone < 5 && h.account.Unheard() < 2*time.Second && name != "cut WebM" {
			t.Errorf("%s: the tone is there for %.1f s of %.1f s, %v, %+v", name, h.tone, h.seconds, h.err, h.account)
		}
	}
}

// editedTo sets the duration of the first edit of an MP4 file.
func editedTo(t *testing.T, b []byte, duration uint32) []byte {
	at := bytes.Index(b, []byte("elst"))
	if at < 0 {
		t.Fatal("no edit list")
	}
	return patch(b, at+12, binary.BigEndian.AppendUint32(nil, duration)...)
}

// indexOf cuts the sample tables of an MP4 file to its first chunks: the recorder died and the index was repaired.
func indexOf(t *testing.T, b []byte, samples uint32) []byte {
	b = bytes.Clone(b)
	for _, name := range []string{"stsz", "stts"} {
		at := bytes.Index(b, []byte(name))
		if at < 0 {
			t.Fatalf("no %s", name)
		}
		if name == "stsz" {
			binary.BigEndian.PutUint32(b[at+12:], samples)
		}
	}
	return b
}

// A file of a few bytes that claims a gap of hours made ffmpeg take gigabytes of memory.
func TestFFmpegStaysWithinItsLimits(t *testing.T) {
	b := muxed(t, "mkv", []string{"synthetic.wav"}, "-c:a", "libopus", "-b:a", "8k", "-cluster_time_limit", "1000")
	clusters := 0
	for i := 0; ; clusters++ {
		k := bytes.Index(b[i:], []byte{0x1f, 0x43, 0xb6, 0x75})
		if k < 0 {
			break
		}
		i += k + 4
		// The time of a cluster: element 0xe7 with a size of 1 to 4 bytes.
		at := bytes.IndexByte(b[i:min(i+20, len(b))], 0xe7)
		if at < 0 {
			t.Fatal("a cluster has no time")
		}
		if size := int(b[i+at+1] & 0x7f); size >= 2 && clusters > 2 {
			b[i+at+2] |= 0x80 // nine hours later for each byte above the second
		}
	}
	if clusters < 4 {
		t.Fatalf("%d clusters", clusters)
	}
	h := hearBytes(t, b)
	if h.tone < 5 && h.account.Unheard() < 5*time.Second {
		t.Errorf("the tone is there for %.1f s of %.1f s, %v, %+v", h.tone, h.seconds, h.err, h.account)
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		t.Fatal(err)
	}
	if usage.Maxrss > 1200<<10 {
		t.Errorf("a program took %d MB", usage.Maxrss>>10)
	}
}
