package encode_test

import (
	"testing"
	"time"
)

// Plain recordings of any kind are read as a whole: nothing is booked that would make a call inconclusive.
func TestPlainFilesAreReadAsAWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("many files of ffmpeg; the tests without -short read them")
	}
	voiceArgs := []string{"synthetic.wav"}
	video := []string{"-f", "lavfi", "-i", "testsrc=d=9:s=64x64:r=5", "-map", "0:a", "-map", "1:v", "-c:v", "mpeg4"}
	for name, c := range map[string]struct {
		ext  string
		args []string
	}{
		"AAC in MP4":           {"m4a", []string{"-c:a", "aac", "-b:a", "24k"}},
		"AAC, index in front":  {"m4a", []string{"-c:a", "aac", "-b:a", "24k", "-movflags", "faststart"}},
		"AAC in 3GP, 8 kHz":    {"3gp", []string{"-c:a", "aac", "-ar", "8000", "-b:a", "12k"}},
		"ADTS":                 {"aac", []string{"-c:a", "aac", "-b:a", "24k"}},
		"MP4 with video":       {"mp4", append([]string{}, append(video, "-c:a", "aac")...)},
		"Matroska with video":  {"mkv", append([]string{}, append(video, "-c:a", "flac")...)},
		"AVI with video":       {"avi", append([]string{}, append(video, "-c:a", "pcm_s16le")...)},
		"WebM, 6 kbit/s":       {"webm", []string{"-c:a", "libopus", "-b:a", "6k"}},
		"WebM, live":           {"webm", []string{"-c:a", "libopus", "-live", "1"}},
		"Windows Media":        {"wma", []string{"-c:a", "wmav2", "-b:a", "32k"}},
		"Speex":                {"spx", []string{"-c:a", "libspeex", "-ar", "8000"}},
		"Vorbis":               {"ogg", []string{"-c:a", "libvorbis"}},
		"FLAC in Ogg":          {"oga", []string{"-c:a", "flac"}},
		"FLAC":                 {"flac", nil},
		"ALAC":                 {"m4a", []string{"-c:a", "alac"}},
		"AIFF":                 {"aiff", nil},
		"AIFC, mu-law":         {"aifc", []string{"-f", "aiff", "-c:a", "pcm_mulaw"}},
		"AU":                   {"au", []string{"-c:a", "pcm_mulaw", "-ar", "8000"}},
		"CAF":                  {"caf", []string{"-c:a", "pcm_s16be"}},
		"W64":                  {"w64", nil},
		"WAV, ADPCM":           {"wav", []string{"-c:a", "adpcm_ms", "-ar", "8000"}},
		"WAV, MP3":             {"wav", []string{"-c:a", "libmp3lame", "-ar", "16000", "-b:a", "24k"}},
		"RF64":                 {"wav", []string{"-rf64", "always"}},
		"MP2":                  {"mp2", []string{"-c:a", "mp2", "-b:a", "64k"}},
		"MP3, 8 kHz":           {"mp3", []string{"-ar", "8000", "-b:a", "16k"}},
		"MPEG-TS":              {"ts", []string{"-c:a", "aac"}},
		"MP3 in Matroska":      {"mka", []string{"-c:a", "libmp3lame", "-ar", "16000"}},
		"Flash":                {"flv", []string{"-c:a", "libmp3lame", "-ar", "22050"}},
		"WavPack":              {"wv", nil},
		"VOC":                  {"voc", []string{"-c:a", "pcm_u8", "-ar", "8000"}},
		"MPEG-TS with video":   {"ts", append([]string{}, append(video, "-c:a", "aac", "-c:v", "mpeg2video", "-r", "25")...)},
		"MPEG-TS, AC-3":        {"ts", []string{"-c:a", "ac3", "-ar", "32000", "-b:a", "64k"}},
		"MPEG-TS, MP2":         {"ts", []string{"-c:a", "mp2", "-ar", "32000", "-b:a", "64k"}},
		"M2TS":                 {"m2ts", []string{"-c:a", "ac3", "-ar", "48000", "-b:a", "64k"}},
		"MPEG with video":      {"mpg", append([]string{}, append(video, "-c:a", "mp2", "-c:v", "mpeg1video", "-r", "25")...)},
		"VOB with video":       {"vob", append([]string{}, append(video, "-c:a", "ac3", "-ar", "48000", "-c:v", "mpeg2video", "-r", "25")...)},
		"VOB, AC-3":            {"vob", []string{"-c:a", "ac3", "-ar", "48000", "-b:a", "64k"}},
		"VOB, PCM":             {"vob", []string{"-c:a", "pcm_s16be", "-ar", "48000"}},
		"Flash with video":     {"flv", append([]string{}, append(video, "-c:a", "aac", "-c:v", "flv")...)},
		"Flash, AAC":           {"flv", []string{"-c:a", "aac", "-b:a", "24k"}},
		"Flash, Speex":         {"flv", []string{"-c:a", "libspeex", "-ar", "16000"}},
		"QuickTime, PCM":       {"mov", []string{"-c:a", "pcm_s16le"}},
		"QuickTime, video":     {"mov", append([]string{}, append(video, "-c:a", "pcm_s16be", "-timecode", "00:00:01:00")...)},
		"MP4, fragments":       {"mp4", []string{"-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "1000000"}},
		"Media with video":     {"asf", append([]string{}, append(video, "-c:a", "wmav2", "-c:v", "msmpeg4")...)},
		"Windows Media, v1":    {"wma", []string{"-c:a", "wmav1", "-b:a", "64k"}},
		"Matroska, Vorbis":     {"mka", []string{"-c:a", "libvorbis"}},
		"Matroska, AAC":        {"mka", []string{"-c:a", "aac", "-b:a", "16k", "-ar", "16000"}},
		"Matroska, PCM":        {"mka", []string{"-c:a", "pcm_s16le"}},
		"AVI, MP3":             {"avi", []string{"-c:a", "libmp3lame", "-ar", "16000", "-b:a", "16k"}},
		"AVI, AC-3":            {"avi", []string{"-c:a", "ac3", "-ar", "32000", "-b:a", "64k"}},
		"True Audio":           {"tta", nil},
		"AC-3":                 {"ac3", []string{"-c:a", "ac3", "-ar", "32000", "-b:a", "64k"}},
		"E-AC-3":               {"eac3", []string{"-c:a", "eac3", "-ar", "32000", "-b:a", "64k"}},
		"DTS":                  {"dts", []string{"-strict", "-2", "-c:a", "dca", "-ar", "16000"}},
		"SoX":                  {"sox", nil},
		"Matroska, video, MP3": {"mkv", append([]string{}, append(video, "-c:a", "libmp3lame", "-ar", "16000", "-b:a", "16k")...)},
		"Opus and Theora":      {"ogv", append([]string{}, append(video[:len(video)-2], "-c:a", "libopus", "-c:v", "libtheora")...)},
		"Vorbis and Theora":    {"ogv", append([]string{}, append(video[:len(video)-2], "-c:a", "libvorbis", "-c:v", "libtheora")...)},
	} {
		h := hearBytes(t, muxed(t, c.ext, voiceArgs, c.args...))
		if h.err != nil || h.tone < 6 || h.seconds < 8.9 || h.seconds > 9.3 || h.account.Unheard() > 50*time.Millisecond || len(h.tracks) != 1 {
			t.Errorf("%s: the tone is there for %.1f s of %.2f s, %v, %d tracks, %+v", name, h.tone, h.seconds, h.err, len(h.tracks), h.account)
		}
	}
}
