package encode_test

import (
	"bytes"
	"testing"
	"time"
)

// Audio that no reader decodes must not disappear: time is booked for it, or the file is refused.
func TestUnheardAudioIsBooked(t *testing.T) {
	human := muxed(t, "mp3", []string{"human.wav"}, "-ar", "16000", "-b:a", "32k")
	layer2 := muxed(t, "mp2", []string{"synthetic.wav"}, "-c:a", "mp2", "-b:a", "64k")
	adts := muxed(t, "aac", []string{"synthetic.wav"}, "-c:a", "aac", "-b:a", "24k")
	unknown := noise(12_000, 3)
	mkv := muxed(t, "mkv", []string{"synthetic.wav"}, "-c:a", "libopus", "-b:a", "16k", "-cluster_time_limit", "1000")
	segment := bytes.Index(mkv, []byte{0x18, 0x53, 0x80, 0x67})
	second := segment
	for range 3 {
		second += 4 + bytes.Index(mkv[second+4:], []byte{0x1f, 0x43, 0xb6, 0x75})
	}
	short := second - segment - 12
	free := muxed(t, "mp3", []string{"synthetic.wav"}, "-ar", "16000", "-b:a", "32k", "-write_xing", "0", "-id3v2_version", "0")
	for at := 0; at+144 <= len(free); at += 144 {
		free[at+2] &= 0x0f // the bit rate is not declared
	}
	flac := muxed(t, "flac", []string{"human.wav"})
	m4a := muxed(t, "m4a", []string{"human.wav"}, "-c:a", "aac", "-b:a", "24k")
	for name, b := range map[string][]byte{
		"layer II behind MP3":      join(human, layer2),
		"ADTS behind MP3":          join(human, adts),
		"unknown bytes behind MP3": join(human, unknown),
		"free format behind MP3":   join(human, free),
		"Matroska, short segment":  patch(mkv, segment+4, 0x01, 0, 0, 0, 0, byte(short>>16), byte(short>>8), byte(short)),
		"ADTS behind FLAC":         join(flac, adts),
		"ADTS behind M4A":          join(m4a, adts),
		"MP3 behind M4A":           join(m4a, muxed(t, "mp3", []string{"synthetic.wav"}, "-ar", "16000", "-b:a", "32k")),
		"PCM behind FLAC":          join(flac, bytesOf(voice(t, "synthetic.wav", 16000, 9))),
		"PCM behind Ogg":           join(opusFixture(t, "human"), bytesOf(voice(t, "synthetic.wav", 16000, 9))),
	} {
		h := hearBytes(t, b)
		if h.err == nil && h.tone < 5 && h.account.Unheard() < 3*time.Second {
			t.Errorf("%s: the tone is there for %.1f s of %.1f s, %+v", name, h.tone, h.seconds, h.account)
		}
	}
}
