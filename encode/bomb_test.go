package encode_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/encode"
)

// picture returns a black PNG of n by n pixels, which takes a byte for a thousand of them.
func picture(n uint32) []byte {
	chunk := func(name string, data []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
		b = append(append(b, name...), data...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
	}
	var data bytes.Buffer
	z := zlib.NewWriter(&data)
	row := make([]byte, 1+n/8)
	for range n {
		_, _ = z.Write(row)
	}
	_ = z.Close()
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, n), n)
	return join([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(size, 1, 0, 0, 0, 0)), chunk("IDAT", data.Bytes()), chunk("IEND", nil))
}

// A picture of 225 million pixels in 27 kB is not decoded, and the sound beside it is heard.
func TestHugePicturesAreNotDecoded(t *testing.T) {
	cover := filepath.Join(t.TempDir(), "cover.png")
	if err := os.WriteFile(cover, picture(15_000), 0o600); err != nil {
		t.Fatal(err)
	}
	b := muxed(t, "m4a", []string{"synthetic.wav"}, "-i", cover, "-map", "0:a", "-map", "1:v", "-c:a", "aac", "-b:a", "24k", "-c:v", "copy",
		"-disposition:v:0", "attached_pic")
	h := hearBytes(t, b)
	if h.err != nil || h.tone < 5 {
		t.Errorf("the tone is there for %.1f s of %.1f s, %v, %+v", h.tone, h.seconds, h.err, h.account)
	}
}

// The error names the limit and the file. The programs stand for ffmpeg and ffprobe that reach a limit.
func TestLimitsAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"memory": {`echo "[fatal] call: Cannot allocate memory" >&2; exit 1`, "MiB of memory"},
		"CPU":    {`kill -XCPU $$`, "too much CPU time"},
		"output": {`exec cat /dev/zero`, "limit of ffprobe"},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "call.flac")
		if err := os.WriteFile(file, []byte("fLaC\x00\x00\x00\x22 and so on"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{"ffmpeg", "ffprobe"} {
			if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		_, err := encode.Open(deadline(t), file, &encode.Options{FFmpeg: filepath.Join(dir, "ffmpeg")})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "call.flac") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// A playlist under any name names another file, which is not read.
func TestPlaylistsReadNoOtherFile(t *testing.T) {
	dir := t.TempDir()
	other, err := filepath.Abs(fixture("human.wav"))
	if err != nil {
		t.Fatal(err)
	}
	dash := `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="audio/mp4">` +
		`<Representation id="1" bandwidth="1"><BaseURL>file:` + other + `</BaseURL></Representation></AdaptationSet></Period></MPD>`
	for name, text := range map[string]string{
		"list.m3u8":     "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:" + other + "\n#EXT-X-ENDLIST\n",
		"list.wav":      "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + other + "\n#EXT-X-ENDLIST\n",
		"list.ffconcat": "ffconcat version 1.0\nfile '" + other + "'\n",
		"list.mpd":      dash,
		"list.sdp":      "v=0\nm=audio 5004 RTP/AVP 0\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if src, err := encode.Open(deadline(t), file, nil); err == nil {
			t.Errorf("%s was opened: %+v", name, src.Format())
			src.Close()
		}
	}
}
