package encode_test

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callscreen/encode"
)

// Bytes that are added to a file while it is read are booked.
func TestFileThatGrowsIsBooked(t *testing.T) {
	opus := opusFixture(t, "human")
	for name, first := range map[string][]byte{
		"WAV":        wav16(16000, voice(t, "human.wav", 16000, 8)),
		"Ogg Opus":   opus,
		"two parts":  join(opus, wav16(16000, voice(t, "human.wav", 16000, 4))),
		"MP3 by tag": muxed(t, "mp3", []string{"human.wav"}, "-ar", "16000", "-b:a", "24k"),
	} {
		path := filepath.Join(t.TempDir(), "growing")
		if err := os.WriteFile(path, first, 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := encode.Open(t.Context(), path, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer src.Close()
		added := bytesOf(voice(t, "synthetic.wav", 16000, 9))
		block := make([]float32, 4096)
		for n := 0; err == nil; n++ {
			if n == 3 {
				f, openErr := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if openErr != nil {
					t.Fatal(openErr)
				}
				if _, err := f.Write(added); err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			_, err = src.Read(block)
		}
		a := encode.AccountOf(src)
		if !errors.Is(err, io.EOF) || a.Unread[encode.AddedLater] != int64(len(added)) || a.UnreadTime[encode.AddedLater] < 8*time.Second {
			t.Errorf("%s: %v, %+v", name, err, a)
		}
		if err := a.Check(); err != nil || a.Size != int64(len(first)+len(added)) {
			t.Errorf("%s: %v, %+v", name, err, a)
		}
	}
}

// Pages of Vorbis under a serial number that no header announced are heard or booked.
func TestSerialNumberThatChangesIsBooked(t *testing.T) {
	for _, codec := range []string{"libvorbis", "libopus", "flac"} {
		b := muxed(t, "ogg", []string{"synthetic.wav"}, "-c:a", codec)
		half := len(pages(b)) / 2
		b = eachPage(b, func(i int, page []byte) {
			if i >= half {
				binary.LittleEndian.PutUint32(page[14:], 77)
			}
		})
		if h := hearBytes(t, b); h.err == nil && h.seconds < 8.5 && h.account.Unheard() < 3*time.Second {
			t.Errorf("%s: %.1f s, %+v", codec, h.seconds, h.account)
		}
	}
}
