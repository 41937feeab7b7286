package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

// Upload holds the properties of a submitted recording, without the audio.
type Upload struct {
	FileName string
	Format   string // "wav", "mp3" or "m4a"
	Size     int64
	SHA256   string
	// Rate, Channels and Bits are set for WAV files.
	Rate, Channels, Bits int
	Duration             time.Duration
	Marker               bool // contains the marker tone; only detected in 16-bit mono
}

// maxUpload is 10 MB in the larger reading. A correct client stays below both readings.
const maxUpload = 10 << 20

// errUpload is an invalid request, with the HTTP status of the answer.
type errUpload struct {
	status int
	text   string
}

func (e errUpload) Error() string { return e.text }

// readUpload parses the form of a submission.
func readUpload(r *http.Request) (Upload, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return Upload{}, errUpload{http.StatusUnsupportedMediaType, "want multipart/form-data with one file field"}
	}
	form := multipart.NewReader(r.Body, params["boundary"])
	var data []byte
	var u Upload
	for fields := 0; ; fields++ {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			if fields != 1 {
				return Upload{}, errUpload{http.StatusBadRequest, "want exactly one field, file"}
			}
			break
		}
		if err != nil {
			return Upload{}, errUpload{http.StatusBadRequest, "malformed form"}
		}
		if fields > 0 || part.FormName() != "file" {
			return Upload{}, errUpload{http.StatusBadRequest, "want exactly one field, file"}
		}
		u.FileName = part.FileName()
		if data, err = io.ReadAll(io.LimitReader(part, maxUpload+1)); err != nil {
			return Upload{}, errUpload{http.StatusBadRequest, "the upload is incomplete"}
		}
		if len(data) > maxUpload {
			return Upload{}, errUpload{http.StatusRequestEntityTooLarge, "the file is larger than 10 MB"}
		}
	}
	u.Size = int64(len(data))
	sum := sha256.Sum256(data)
	u.SHA256 = hex.EncodeToString(sum[:])
	switch s := string(data[:min(len(data), 12)]); {
	case len(s) == 12 && s[:4] == "RIFF" && s[8:] == "WAVE":
		u.Format = "wav"
		u.readWAV(data[12:])
	case strings.HasPrefix(s, "ID3"), len(s) > 1 && s[0] == 0xff && s[1]&0xe0 == 0xe0:
		u.Format = "mp3"
	case len(s) == 12 && s[4:8] == "ftyp":
		u.Format = "m4a"
	default:
		return Upload{}, errUpload{http.StatusUnsupportedMediaType, "want a .wav, .mp3 or .m4a file"}
	}
	return u, nil
}

// readWAV reads the properties of a WAV file. A missing chunk leaves its fields zero.
func (u *Upload) readWAV(chunks []byte) {
	tag := 0
	for len(chunks) >= 8 {
		id, size := string(chunks[:4]), int(min(uint64(binary.LittleEndian.Uint32(chunks[4:])), uint64(len(chunks)-8)))
		body := chunks[8 : 8+size]
		chunks = chunks[8+size:]
		if size%2 == 1 && len(chunks) > 0 {
			chunks = chunks[1:]
		}
		switch {
		case id == "fmt " && size >= 16:
			tag = int(binary.LittleEndian.Uint16(body))
			u.Channels, u.Rate, u.Bits = int(
				binary.LittleEndian.Uint16(body[2:]),
			), int(
				binary.LittleEndian.Uint32(body[4:]),
			), int(
				binary.LittleEndian.Uint16(body[14:]),
			)
		case id == "data" && u.Rate > 0 && u.Channels > 0 && u.Bits >= 8:
			u.Duration = time.Duration(float64(size) / float64(u.Rate*u.Channels*u.Bits/8) * float64(time.Second))
			if tag == 1 && u.Channels == 1 && u.Bits == 16 {
				u.Marker = hasMarker(body, u.Rate)
			}
			return
		}
	}
}
