package encode_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// id3v2 returns an ID3v2.4 tag.
func id3v2(body []byte) []byte {
	n := len(body)
	return join([]byte{'I', 'D', '3', 4, 0, 0, byte(n >> 21 & 0x7f), byte(n >> 14 & 0x7f), byte(n >> 7 & 0x7f), byte(n & 0x7f)}, body)
}

// id3Frame returns a frame of an ID3v2 tag.
func id3Frame(id string, body []byte) []byte {
	return join([]byte(id), binary.BigEndian.AppendUint32(nil, uint32(len(body))), []byte{0, 0}, body)
}

// withFLACBlock inserts a metadata block behind the first.
func withFLACBlock(flac []byte, kind byte, body []byte) []byte {
	n := len(body)
	return join(flac[:4], []byte{flac[4] & 0x7f}, flac[5:42], []byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}, body, flac[42:])
}

// inMatroska appends an element to the segment of a file whose segment has a size of 8 bytes.
func inMatroska(mka []byte, id byte, body []byte) []byte {
	size := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, 1<<56|uint64(n)) }
	at := bytes.Index(mka, []byte{0x18, 0x53, 0x80, 0x67}) + 4
	rest := join(mka[at+8:], []byte{id}, size(len(body)), body)
	return join(mka[:at], size(len(rest)), rest)
}

// text8 returns 8-bit audio that is so quiet that its bytes are those of text.
func text8(pcm []int16) []byte {
	out := make([]byte, len(pcm))
	for i, v := range pcm {
		out[i] = byte(max(32, min(126, 79+int(v)*90/32768)))
	}
	return out
}

// Audio in the room that a container has for other data is heard or booked.
func TestAudioInSpareRoomIsHeardOrBooked(t *testing.T) {
	human, synthetic := voice(t, "human.wav", 16000, 8), voice(t, "synthetic.wav", 16000, 9)
	pcm := bytesOf(synthetic)
	adts := muxed(t, "aac", []string{"synthetic.wav"}, "-c:a", "aac", "-ar", "16000", "-b:a", "24k")
	mp3 := muxed(t, "mp3", []string{"synthetic.wav"}, "-ar", "16000", "-b:a", "24k", "-id3v2_version", "0")
	outer := muxed(t, "mp3", []string{"human.wav"}, "-ar", "16000", "-b:a", "24k", "-id3v2_version", "0")
	flac := muxed(t, "flac", []string{"human.wav"})
	mka := muxed(t, "mka", []string{"human.wav"}, "-c:a", "flac")
	avi := muxed(t, "avi", []string{"human.wav"}, "-c:a", "libmp3lame", "-ar", "16000")
	caf := muxed(t, "caf", []string{"human.wav"}, "-c:a", "pcm_s16be")
	attached := filepath.Join(t.TempDir(), "attached")
	if err := os.WriteFile(attached, adts, 0o600); err != nil {
		t.Fatal(err)
	}
	attachment := muxed(t, "mkv", []string{"human.wav"}, "-c:a", "flac", "-attach", attached, "-metadata:s:t", "mimetype=audio/aac")
	var junk, lists [][]byte
	for at := 0; at < len(pcm); at += 31_000 {
		part := pcm[at:min(at+31_000, len(pcm))]
		junk = append(junk, chunk("JUNK", part))
		lists = append(lists, chunk("LIST", join([]byte("INFO"), part)))
	}
	f16, f8 := chunk("fmt ", fmtChunk(1, 1, 16000, 16)), chunk("fmt ", fmtChunk(1, 1, 16000, 8))
	data, data8 := chunk("data", bytesOf(human)), chunk("data", eightBits(human))
	for name, b := range map[string][]byte{
		"WAV, many chunks behind":       riff(f16, data, join(junk...)),
		"WAV, many chunks in front":     riff(f16, join(junk...), data),
		"WAV, many lists":               riff(f16, data, join(lists...)),
		"WAV, quiet 8 bits in a chunk":  riff(f8, data8, chunk("JUNK", text8(synthetic))),
		"WAV, quiet 8 bits behind":      join(riff(f8, data8), text8(synthetic)),
		"ID3v2 at the start":            join(id3v2(mp3), outer),
		"ID3v2 object at the start":     join(id3v2(id3Frame("GEOB", mp3)), outer),
		"ID3v2 before FLAC":             join(id3v2(id3Frame("GEOB", adts)), flac),
		"FLAC, padding":                 withFLACBlock(flac, 1, adts),
		"FLAC, application":             withFLACBlock(flac, 2, join([]byte("test"), pcm)),
		"Matroska, void":                inMatroska(mka, 0xec, adts),
		"Matroska, PCM in void":         inMatroska(mka, 0xec, pcm),
		"Matroska, attachment":          attachment,
		"AVI, JUNK":                     join(avi, chunk("JUNK", adts)),
		"CAF, free":                     join(caf, []byte("free"), binary.BigEndian.AppendUint64(nil, uint64(len(pcm))), pcm),
		"AU, before the audio":          auWith(pcm, bytesOf(human)),
		"AIFF, chunk of an application": aiffWith(t, "APPL", pcm),
	} {
		h := hearBytes(t, b)
		if h.err != nil || h.tone < 5 && h.account.Unheard() < 4*time.Second {
			t.Errorf("%s: the tone is there for %.1f s of %.1f s, %v, %+v", name, h.tone, h.seconds, h.err, h.account)
		}
	}
}

// auWith returns an AU file with bytes between its header and its audio.
func auWith(between, audio []byte) []byte {
	b := []byte(".snd")
	for _, v := range []int{24 + len(between), len(audio), 3, 16000, 1} {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return join(b, between, audio)
}

// aiffWith returns a human voice in an AIFF file with a further chunk.
func aiffWith(t *testing.T, id string, body []byte) []byte {
	b := muxed(t, "aiff", []string{"human.wav"})
	b = join(b, []byte(id), binary.BigEndian.AppendUint32(nil, uint32(len(body))), body)
	return patch(b, 4, binary.BigEndian.AppendUint32(nil, uint32(len(b)-8))...)
}

// Tags, pictures and padding are no audio, wherever they are.
func TestTagsAndPaddingAreNoAudio(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	art := make([]byte, 60_000)
	for i := range art {
		art[i] = byte(rng.Uint32())
	}
	jpeg := id3v2(id3Frame("APIC", join([]byte("\x00image/jpeg\x00\x03\x00\xff\xd8\xff\xe0"), art)))
	zeros := make([]byte, 100_000)
	mp3 := muxed(t, "mp3", []string{"human.wav"}, "-ar", "16000", "-b:a", "24k", "-id3v2_version", "0")
	flac := muxed(t, "flac", []string{"human.wav"})
	adts := muxed(t, "aac", []string{"human.wav"}, "-c:a", "aac", "-ar", "16000", "-b:a", "24k")
	caf := muxed(t, "caf", []string{"human.wav"}, "-c:a", "pcm_s16be")
	w64 := muxed(t, "w64", []string{"human.wav"})
	wrongSize := join([]byte("ID3\x03\x00\x00"), binary.BigEndian.AppendUint32(nil, uint32(len(art))), art)
	guid := []byte("\x6a\x75\x6e\x6b\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a")
	padded := join(w64, guid, binary.LittleEndian.AppendUint64(nil, uint64(24+len(zeros))), zeros)
	f16, data := chunk("fmt ", fmtChunk(1, 1, 16000, 16)), chunk("data", bytesOf(voice(t, "human.wav", 16000, 8)))
	for name, b := range map[string][]byte{
		"cover before MP3":            join(jpeg, mp3),
		"cover before FLAC":           join(jpeg, flac),
		"cover before ADTS":           join(jpeg, adts),
		"cover in AIFF":               aiffWith(t, "ID3 ", jpeg),
		"cover in a chunk of WAV":     riff(f16, data, chunk("id3 ", jpeg)),
		"tag with a plain size":       join(wrongSize, mp3),
		"FLAC, application":           withFLACBlock(flac, 2, join([]byte("riff"), art)),
		"FLAC, padding":               withFLACBlock(flac, 1, zeros),
		"WAV, padding":                riff(f16, chunk("FLLR", zeros), data),
		"AIFF, padding":               aiffWith(t, "FLLR", zeros),
		"CAF, padding":                join(caf, []byte("free"), binary.BigEndian.AppendUint64(nil, uint64(len(zeros))), zeros),
		"Wave64, padding":             patch(padded, 16, binary.LittleEndian.AppendUint64(nil, uint64(len(padded)))...),
		"WAV, text with line breaks":  riff(f16, data, chunk("iXML", bytes.Repeat([]byte("<NOTE>The take of the day, again.</NOTE>\r\n"), 400))),
		"WAV, text padded with space": riff(f16, data, chunk("_PMX", []byte(strings.Repeat("<x/>"+strings.Repeat(" ", 99)+"\n", 400)))),
	} {
		h := hearBytes(t, b)
		if h.err != nil || h.account.Unheard() > 200*time.Millisecond || len(h.tracks) != 1 || h.seconds < 7.9 {
			t.Errorf("%s: %.1f s, %v, %d tracks, %+v", name, h.seconds, h.err, len(h.tracks), h.account)
		}
	}
}

// A track that starts later than the first is whole: its declared end counts from the start of the file.
func TestTrackThatStartsLaterIsWhole(t *testing.T) {
	two := []string{"-map", "0:a", "-map", "1:a"}
	for _, c := range []struct {
		ext  string
		args []string
	}{
		{"mka", []string{"-c:a", "flac"}},
		{"webm", []string{"-c:a", "libopus"}},
		{"avi", []string{"-c:a", "libmp3lame", "-ar", "16000"}},
		{"mov", []string{"-c:a", "aac"}},
	} {
		for _, delay := range []string{"5", "20"} {
			path := filepath.Join(t.TempDir(), "late."+c.ext)
			args := []string{"-hide_banner", "-loglevel", "error", "-t", "9", "-i", fixture("human.wav"),
				"-itsoffset", delay, "-t", "9", "-i", fixture("synthetic.wav")}
			run(t, nil, "ffmpeg", append(append(append(args, two...), c.args...), path)...)
			h := hear(t, path, nil)
			if h.err != nil || h.tone < 5 || h.account.Unheard() > 200*time.Millisecond || len(h.tracks) != 2 {
				t.Errorf("%s, %s s later: the tone is there for %.1f of %.1f s, %v, %d tracks, %+v",
					c.ext, delay, h.tone, h.seconds, h.err, len(h.tracks), h.account)
			}
		}
	}
}

// Bytes behind a stated size are booked once: as read if the reader went on, or else as unread.
func TestStatedSizesThatAreTooSmall(t *testing.T) {
	both := []string{"human.wav", "synthetic.wav"}
	join2 := []string{"-filter_complex", "[0:a][1:a]concat=n=2:v=0:a=1"}
	half := 9 * 32000
	be := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	make2 := func(ext string, args ...string) []byte {
		return muxed(t, ext, both, append(append(append([]string{}, join2...), "-ar", "16000"), args...)...)
	}
	au, aiff, caf := make2("au", "-c:a", "pcm_s16be"), make2("aiff"), make2("caf", "-c:a", "pcm_s16be")
	ssnd, cafData := bytes.Index(aiff, []byte("SSND")), bytes.Index(caf, []byte("data"))
	for name, b := range map[string][]byte{
		"AU":   patch(au, 8, be(half)...),
		"AIFF": patch(aiff, ssnd+4, be(half+8)...),
		"CAF":  patch(caf, cafData+8, be(half+4)...),
	} {
		h := hearBytes(t, b)
		read := min(int64(h.seconds*32000), h.account.Size-5000)
		if h.err != nil || h.tone < 5 && h.account.Unheard() < 4*time.Second || h.account.Read < read {
			t.Errorf("%s: the tone is there for %.1f of %.1f s, %v, %+v", name, h.tone, h.seconds, h.err, h.account)
		}
	}
}
