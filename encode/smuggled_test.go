package encode_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"callscreen/encode"
)

// Speech that a container holds and a player passes over is heard, or time is booked for it, or the file is refused. Each entry has the
// human voice where a player plays it, and the synthetic one of nine seconds elsewhere.
func TestSmuggledSpeechIsHeardOrBooked(t *testing.T) {
	if testing.Short() {
		t.Skip("many files of ffmpeg; the tests without -short read them")
	}
	both := []string{"human.wav", "synthetic.wav"}
	joined := []string{"-filter_complex", "[0:a][1:a]concat=n=2:v=0:a=1"}
	tracks := []string{"-map", "0:a", "-map", "1:a"}
	u8 := func(name string, rate int) []byte { return eightBits(voice(t, name, rate, 9)) }
	pcm16 := bytesOf(voice(t, "synthetic.wav", 16000, 9))
	m4a := muxed(t, "m4a", both, append(joined, "-c:a", "aac", "-b:a", "24k")...)
	ts := muxed(t, "ts", both, append(tracks, "-c:a", "aac", "-b:a", "24k")...)
	avi := muxed(t, "avi", both, append(tracks, "-c:a", "pcm_s16le", "-ar", "8000")...)
	adpcm := muxed(t, "avi", both, append(tracks, "-c:a", "libmp3lame", "-ar", "16000", "-b:a", "16k")...)
	asf := muxed(t, "wma", both, append(tracks, "-c:a", "wmav2", "-ar", "16000", "-b:a", "24k")...)
	ogg := muxed(t, "ogg", both, append(tracks, "-c:a", "libspeex", "-ar", "8000")...)
	opus := muxed(t, "ogg", both, append(tracks, "-c:a:0", "libopus", "-c:a:1", "libspeex", "-ar:a:1", "8000")...)
	mpg := muxed(t, "vob", both, append(tracks, "-c:a", "ac3", "-ar", "48000", "-b:a", "64k")...)
	mp2 := muxed(t, "mpg", both, append(tracks, "-c:a", "mp2", "-ar", "48000", "-b:a", "64k")...)
	nut := muxed(t, "nut", both, append(tracks, "-c:a", "libmp3lame", "-ar", "16000", "-b:a", "16k")...)
	mka := muxed(t, "mka", both, append(tracks, "-c:a", "libmp3lame", "-ar", "16000", "-b:a", "16k")...)
	eac3 := func(name string) []byte {
		return muxed(t, "eac3", []string{name}, "-c:a", "eac3", "-ar", "32000", "-b:a", "64k")
	}
	flv := func(name string, args ...string) []byte { return muxed(t, "flv", []string{name}, args...) }
	attached := filepath.Join(t.TempDir(), "voice.ogg")
	if err := os.WriteFile(attached, muxed(t, "ogg", both[1:], "-c:a", "libopus", "-b:a", "24k"), 0o600); err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(t.TempDir(), "cover.png")
	run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "nullsrc=s=400x400,geq=random(1)*255:128:128",
		"-frames:v", "1", picture)
	cover := muxed(t, "m4a", both[:1], "-i", picture, "-map", "0:a", "-map", "1:v", "-c:a", "aac", "-b:a", "24k", "-c:v", "copy",
		"-disposition:v", "attached_pic")
	aiff := muxed(t, "aiff", both[:1])
	plain := muxed(t, "m4a", both[:1], "-c:a", "aac", "-b:a", "24k")
	guidAudio := []byte("\x40\x9e\x69\xf8\x4d\x5b\xcf\x11")
	flvMP3 := flv("human.wav", "-c:a", "libmp3lame", "-ar", "22050", "-b:a", "32k")
	for name, b := range map[string][]byte{
		"edit list that repeats a range":    repeatedEdit(t, m4a),
		"edit list at another rate":         patch(m4a, bytes.Index(m4a, []byte("elst"))+20, 0, 8),
		"VOC, block of another format":      vocBlocks(vocOld(8000, 0, u8("human.wav", 8000)), vocNew(16000, 16, 4, pcm16)),
		"VOC, block of another codec":       vocBlocks(vocOld(8000, 0, u8("human.wav", 8000)), vocOld(8000, 6, u8("synthetic.wav", 8000))),
		"VOC, ADPCM first":                  vocBlocks(vocOld(8000, 1, u8("human.wav", 8000)), vocOld(16000, 0, u8("synthetic.wav", 16000))),
		"FLV, PCM behind MP3":               appendTags(t, flvMP3, flv("synthetic.wav", "-c:a", "pcm_s16le", "-ar", "22050")),
		"FLV, AAC behind MP3":               appendTags(t, flvMP3, flv("synthetic.wav", "-c:a", "aac", "-b:a", "24k")),
		"FLV, Speex behind MP3":             appendTags(t, flvMP3, flv("synthetic.wav", "-c:a", "libspeex", "-ar", "16000")),
		"FLV, another rate":                 appendTags(t, flvMP3, flv("synthetic.wav", "-c:a", "libmp3lame", "-ar", "44100", "-b:a", "48k")),
		"FLV, MP3 behind Nellymoser":        appendTags(t, flv("human.wav", "-c:a", "nellymoser", "-ar", "22050"), flvMP3Of(t, "synthetic.wav")),
		"QuickTime, two descriptions":       secondDescription(t, muxed(t, "mov", both, append(joined, "-c:a", "pcm_s16le", "-ar", "8000")...)),
		"SoX behind SoX":                    join(muxed(t, "sox", both[:1]), muxed(t, "sox", both[1:])),
		"SoX behind M4A":                    join(muxed(t, "m4a", both[:1], "-c:a", "aac", "-b:a", "24k"), muxed(t, "sox", both[1:])),
		"E-AC-3, a further substream":       substreams(t, eac3("human.wav"), eac3("synthetic.wav"), 1<<3),
		"E-AC-3, a dependent substream":     substreams(t, eac3("human.wav"), eac3("synthetic.wav"), 1<<6),
		"E-AC-3, nothing but substreams":    substreams(t, nil, eac3("synthetic.wav"), 1<<3),
		"MPEG, private stream of any codec": privateNumber(mpg, 0x81, 0x20),
		"MPEG, private stream, unknown":     privateNumber(mpg, 0x81, 0x60),
		"MPEG, stream of another number":    renumbered(mp2, 0xc1, 0xfa),
		"MPEG, stream of metadata":          renumbered(mp2, 0xc1, 0xfc),
		"MPEG, stream of video":             renumbered(mp2, 0xc1, 0xe3),
		"TS, PID that no table names":       pid(ts, 0x101, 0x1ab),
		"TS, PID of null packets":           pid(ts, 0x101, 0x1fff),
		"TS, PID of a table":                pid(ts, 0x101, 0x12),
		"TS, unknown type of stream":        bytes.ReplaceAll(ts, []byte{0x0f, 0xe1, 0x01}, []byte{0x9a, 0xe1, 0x01}),
		"Ogg, stream of no codec":           oggMagic(ogg, "Speex   ", "Xpeex   "),
		"Ogg, stream of video":              oggMagic(ogg, "Speex   ", "\x80theora\x03"),
		"Ogg, stream of no codec, Opus":     oggMagic(opus, "Speex   ", "Xpeex   "),
		"Ogg, stream of video, Opus":        oggMagic(opus, "Speex   ", "\x80theora\x03"),
		"Ogg, stream of text, Opus":         oggMagic(opus, "Speex   ", "\x80kate\x00\x00\x00"),
		"Ogg, stream of skeleton, Opus":     oggMagic(opus, "Speex   ", "fishead\x00"),
		"AVI, stream of text":               lastReplaced(avi, []byte("auds"), []byte("txts")),
		"AVI, stream of MIDI":               lastReplaced(adpcm, []byte("auds"), []byte("mids")),
		"AVI, stream of video":              lastReplaced(adpcm, []byte("auds"), []byte("vids")),
		"ASF, stream of another type":       lastReplaced(asf, guidAudio, []byte("\x41\x9e\x69\xf8\x4d\x5b\xcf\x11")),
		"ASF, stream of video":              lastReplaced(asf, guidAudio, []byte("\xc0\xef\x19\xbc\x4d\x5b\xcf\x11")),
		"ASF, stream of commands":           lastReplaced(asf, guidAudio, []byte("\xc0\xcf\xda\x59\xe6\x59\xd0\x11")),
		"NUT, codec of no name":             lastReplaced(nut, le32(0x55)[:2], []byte{0x99, 0x99}),
		"Matroska, codec of no name":        lastReplaced(mka, []byte("A_MPEG/L3"), []byte("A_XXXX/L3")),
		"Matroska, track of text":           lastReplaced(mka, []byte("A_MPEG/L3"), []byte("S_TEXT/UT")),
		"Matroska, file behind MP3": muxed(t, "mka", both[:1], "-c:a", "libmp3lame", "-ar", "16000", "-b:a", "32k", "-attach", attached,
			"-metadata:s:t", "mimetype=audio/ogg"),
		"M4A with a picture, further media": join(cover, boxOf("mdat", pcm16[:len(pcm16)/2])),
		"M4A, a reference":                  grow(plain, box(t, plain, "moov")+8, boxOf("tref", pcm16), box(t, plain, "moov")),
		"M4A, many indexes":                 join(plain, bytes.Repeat(boxOf("mfra", pcm16[:50_000]), 5)),
		"Opus that is made quiet":           opusHeader(opusFixture(t, "synthetic"), 16, 0, 0xc4),
		"AIFF, markers":                     patch(join(aiff, bigChunk("MARK", pcm16[:60_000]), bigChunk("MARK", pcm16[60_000:])), 4, 0, 0xff),
		"WAV, two formats":                  twoFormats(t),
		"AIFF, two formats":                 twoCOMM(t),
	} {
		h := hearBytes(t, b)
		if h.err == nil && h.tone < 5 && h.account.Unheard() < 4*time.Second {
			t.Errorf("%s: the tone is there for %.1f s of %.1f s, %+v", name, h.tone, h.seconds, h.account)
			continue
		}
		t.Logf("%s: tone %.1f s of %.1f s, unheard %v, %v", name, h.tone, h.seconds, h.account.Unheard(), h.err)
	}
}

// A recorder that does not notice a change of format goes on in the same file. The bytes are no samples, and time is booked for them.
func TestOtherFormatsAmongSamplesAreBooked(t *testing.T) {
	human, synthetic := voice(t, "human.wav", 16000, 9), voice(t, "synthetic.wav", 16000, 9)
	wide := func(width int) (out []byte) { // integers of more bytes
		rng := rand.New(rand.NewPCG(1, 2))
		for _, v := range synthetic {
			for range width - 2 {
				out = append(out, byte(rng.Uint32()))
			}
			out = binary.LittleEndian.AppendUint16(out, uint16(v))
		}
		return out
	}
	var floats, humanFloats []byte
	for i := range synthetic {
		floats = append(floats, le32(math.Float32bits(float32(synthetic[i])/32768))...)
		humanFloats = append(humanFloats, le32(math.Float32bits(float32(human[i])/32768))...)
	}
	g722 := muxed(t, "g722", []string{"synthetic.wav"}, "-c:a", "g722", "-ar", "16000")
	wav := func(tag, bits int, parts ...[]byte) []byte {
		return riff(chunk("fmt ", fmtChunk(tag, 1, 16000, bits)), chunk("data", join(parts...)))
	}
	raw := bytesOf(human)
	for name, b := range map[string][]byte{
		"24 bits among 16":    wav(1, 16, raw, wide(3)),
		"32 bits among 16":    wav(1, 16, raw, wide(4)),
		"floats among 16":     wav(1, 16, raw, floats),
		"8 bits among 16":     wav(1, 16, raw, eightBits(synthetic)),
		"mu-law among 16":     wav(1, 16, raw, encode.EncodeMuLaw(nil, synthetic)),
		"G.722 among 16":      wav(1, 16, raw, g722),
		"16 bits in floats":   wav(3, 32, humanFloats, bytesOf(synthetic)),
		"8 bits in floats":    wav(3, 32, humanFloats, eightBits(synthetic)),
		"mu-law in floats":    wav(3, 32, humanFloats, encode.EncodeMuLaw(nil, synthetic)),
		"FLAC of such a file": flacOf(t, wav(1, 16, raw, encode.EncodeMuLaw(nil, synthetic))),
	} {
		if h := hearBytes(t, b); h.err == nil && h.tone < 5 && h.account.Unheard() < 4*time.Second {
			t.Errorf("%s: the tone is there for %.1f s of %.1f s, %+v", name, h.tone, h.seconds, h.account)
		}
	}
}

// The delay and the padding that an encoder declares can take away the parts of a chain as a whole. Players apply those of the first.
func TestShortPartsAreHeard(t *testing.T) {
	if testing.Short() {
		t.Skip("many files of ffmpeg; the tests without -short read them")
	}
	chain := muxed(t, "mp3", []string{"human.wav"}, "-ar", "16000", "-b:a", "32k")
	dir := t.TempDir()
	for i := range 18 {
		path := filepath.Join(dir, strconv.Itoa(i)+".mp3")
		run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-ss", strconv.FormatFloat(float64(i)/2, 'f', 1, 64), "-t", "0.5",
			"-i", fixture("synthetic.wav"), "-ar", []string{"22050", "16000"}[i%2], "-b:a", "48k", "-id3v2_version", "0", path)
		part, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(part, []byte("Lavc"))
		chain = join(chain, patch(part, at+21, 0xff, 0xff, 0xff))
	}
	if h := hearBytes(t, chain); h.err != nil || h.tone < 5 && h.account.Unheard() < 4*time.Second {
		t.Errorf("the tone is there for %.1f s of %.1f s, %v, %+v", h.tone, h.seconds, h.err, h.account)
	}
}

// flacOf returns a WAV file as FLAC.
func flacOf(t *testing.T, wav []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a.wav"), filepath.Join(dir, "a.flac")
	if err := os.WriteFile(from, wav, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", from, to)
	b, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// boxOf returns a box of an MPEG-4 file.
func boxOf(name string, body []byte) []byte {
	return join(binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)), []byte(name), body)
}

// bigChunk returns a chunk of an AIFF file.
func bigChunk(name string, body []byte) []byte {
	return join([]byte(name), binary.BigEndian.AppendUint32(nil, uint32(len(body))), body)
}

// opusHeader changes bytes of the first header of an Ogg Opus file.
func opusHeader(b []byte, at int, with ...byte) []byte {
	b = patch(b, bytes.Index(b, []byte("OpusHead"))+at, with...)
	sealPage(b)
	return b
}

// box returns the offset of a box of an MPEG-4 file, below the boxes of a path.
func box(t *testing.T, b []byte, path ...string) int {
	t.Helper()
	at, end, found := 0, len(b), 0
	for _, name := range path {
		for {
			if at+8 > end {
				t.Fatalf("no box %s", name)
			}
			n := int(binary.BigEndian.Uint32(b[at:]))
			if string(b[at+4:at+8]) == name {
				found, end = at, at+n
				at += 8
				break
			}
			at += n
		}
	}
	return found
}

// grow inserts bytes at an offset and adds their number to the sizes of the boxes around.
func grow(b []byte, at int, more []byte, boxes ...int) []byte {
	b = slices.Insert(bytes.Clone(b), at, more...)
	for _, i := range boxes {
		binary.BigEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:])+uint32(len(more)))
	}
	return b
}

// repeatedEdit makes an edit list that plays the first half of the media twice.
func repeatedEdit(t *testing.T, b []byte) []byte {
	t.Helper()
	moov, trak := box(t, b, "moov"), box(t, b, "moov", "trak")
	edts, elst := box(t, b, "moov", "trak", "edts"), box(t, b, "moov", "trak", "edts", "elst")
	binary.BigEndian.PutUint32(b[elst+12:], 2)
	half := binary.BigEndian.Uint32(b[elst+16:]) / 2
	binary.BigEndian.PutUint32(b[elst+16:], half)
	return grow(b, elst+28, bytes.Clone(b[elst+16:elst+28]), moov, trak, edts, elst)
}

// secondDescription gives the second half of the chunks a description of another codec.
func secondDescription(t *testing.T, b []byte) []byte {
	t.Helper()
	path := []string{"moov", "trak", "mdia", "minf", "stbl"}
	var around []int
	for i := range path {
		around = append(around, box(t, b, path[:i+1]...))
	}
	stsd := box(t, b, append(path, "stsd")...)
	n := int(binary.BigEndian.Uint32(b[stsd+16:]))
	entry := bytes.Clone(b[stsd+16 : stsd+16+n])
	copy(entry[4:], "alaw")
	binary.BigEndian.PutUint32(b[stsd+12:], 2)
	b = grow(b, stsd+16+n, entry, append(around, stsd)...)
	stsc := box(t, b, append(path, "stsc")...)
	stco := box(t, b, append(path, "stco")...)
	chunks := binary.BigEndian.Uint32(b[stco+12:])
	last := len(b[:stsc]) + int(binary.BigEndian.Uint32(b[stsc:])) - 12
	next := bytes.Clone(b[last : last+12])
	binary.BigEndian.PutUint32(next, chunks/2)
	binary.BigEndian.PutUint32(next[8:], 2)
	binary.BigEndian.PutUint32(b[stsc+12:], binary.BigEndian.Uint32(b[stsc+12:])+1)
	return grow(b, last+12, next, append(around, stsc)...)
}

func vocBlocks(blocks ...[]byte) []byte {
	return join([]byte("Creative Voice File\x1a\x1a\x00\x0a\x01\x29\x11"), join(blocks...), []byte{0})
}

// vocOld returns a sound block of type 1.
func vocOld(rate int, codec byte, data []byte) []byte {
	n := len(data) + 2
	return join([]byte{1, byte(n), byte(n >> 8), byte(n >> 16), byte(256 - 1_000_000/rate), codec}, data)
}

// vocNew returns a sound block of type 9.
func vocNew(rate, bits, codec int, data []byte) []byte {
	n := len(data) + 12
	return join([]byte{9, byte(n), byte(n >> 8), byte(n >> 16)}, le32(uint32(rate)), []byte{byte(bits), 1, byte(codec), 0, 0, 0, 0, 0}, data)
}

func flvMP3Of(t *testing.T, name string) []byte {
	t.Helper()
	return muxed(t, "flv", []string{name}, "-c:a", "libmp3lame", "-ar", "22050", "-b:a", "32k")
}

// appendTags appends the audio of a Flash video to another, nine seconds later.
func appendTags(t *testing.T, first, second []byte) []byte {
	t.Helper()
	for at := 13; at+15 <= len(second); {
		n := int(second[at+1])<<16 | int(second[at+2])<<8 | int(second[at+3])
		if second[at] == 8 {
			tag := bytes.Clone(second[at : at+15+n])
			ms := int(tag[4])<<16 | int(tag[5])<<8 | int(tag[6]) + 9000
			tag[4], tag[5], tag[6] = byte(ms>>16), byte(ms>>8), byte(ms)
			first = append(first, tag...)
		}
		at += 15 + n
	}
	return first
}

// substreams puts a frame of the second stream behind each of the first. bits are the type and the number of the substream.
func substreams(t *testing.T, first, second []byte, bits byte) []byte {
	t.Helper()
	size := func(b []byte) int { return 2 * (int(b[2]&7)<<8 + int(b[3]) + 1) }
	var out []byte
	for len(first) > 0 || len(second) > 0 {
		if len(first) > 0 {
			n := min(size(first), len(first))
			out, first = append(out, first[:n]...), first[n:]
		}
		if len(second) > 0 {
			n := min(size(second), len(second))
			out = append(out, second[0], second[1], second[2]&7|bits)
			out, second = append(out, second[3:n]...), second[n:]
		}
	}
	return out
}

// privateNumber changes the number of a substream in the private packets of a program stream.
func privateNumber(b []byte, from, to byte) []byte {
	b = bytes.Clone(b)
	for i := 0; i+10 < len(b); i++ {
		if string(b[i:i+4]) == "\x00\x00\x01\xbd" {
			if at := i + 9 + int(b[i+8]); at < len(b) && b[at] == from {
				b[at] = to
			}
		}
	}
	return b
}

// renumbered changes the number of a stream of a program stream.
func renumbered(b []byte, from, to byte) []byte {
	return bytes.ReplaceAll(b, []byte{0, 0, 1, from}, []byte{0, 0, 1, to})
}

// pid moves the packets of a transport stream to another PID, whose tables do not change.
func pid(b []byte, from, to int) []byte {
	b = bytes.Clone(b)
	for at := 0; at+188 <= len(b); at += 188 {
		if int(b[at+1]&0x1f)<<8|int(b[at+2]) == from {
			b[at+1], b[at+2] = b[at+1]&0xe0|byte(to>>8), byte(to)
		}
	}
	return b
}

// oggMagic changes the mark of the last codec of an Ogg file.
func oggMagic(b []byte, from, to string) []byte {
	b = bytes.Clone(b)
	i := bytes.LastIndex(b, []byte(from))
	copy(b[i:], to)
	sealPage(b[bytes.LastIndex(b[:i], []byte("OggS")):])
	return b
}

// sealPage sets the checksum of the first page.
func sealPage(page []byte) {
	n := 27 + int(page[26])
	for _, v := range page[27 : 27+int(page[26])] {
		n += int(v)
	}
	copy(page[22:26], []byte{0, 0, 0, 0})
	crc := uint32(0)
	for _, v := range page[:n] {
		crc ^= uint32(v) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	copy(page[22:], le32(crc))
}

// lastReplaced replaces the last occurrence.
func lastReplaced(b, from, to []byte) []byte { return patch(b, bytes.LastIndex(b, from), to...) }

// twoFormats returns a WAV file that is the synthetic voice by its first format, and noise by its second.
func twoFormats(t *testing.T) []byte {
	t.Helper()
	pcm := bytesOf(voice(t, "synthetic.wav", 16000, 9))
	return riff(chunk("fmt ", fmtChunk(1, 1, 16000, 16)), chunk("fmt ", fmtChunk(7, 1, 16000, 8)), chunk("data", pcm))
}

// twoCOMM returns an AIFF file with two formats.
func twoCOMM(t *testing.T) []byte {
	t.Helper()
	b := muxed(t, "aiff", []string{"synthetic.wav"})
	i := bytes.Index(b, []byte("COMM"))
	n := 8 + int(binary.BigEndian.Uint32(b[i+4:]))
	other := bytes.Clone(b[i : i+n])
	other[15] = 8
	b = slices.Insert(b, i+n, other...)
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}
