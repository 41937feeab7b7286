package analyzer

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"os"
	"strings"
)

// MaxSize is the exclusive upper limit for the size of a recording, in bytes. The API documents 10 MB; this is the
// smaller reading.
const MaxSize = 10_000_000

// Audio is a recording to analyze: a WAV, MP3 or M4A file. Open can be called again for a retry, and must return the
// same Size bytes each time.
type Audio struct {
	Size int64
	Open func() (io.ReadCloser, error)
}

// FileAudio returns the recording in a file.
func FileAudio(path string) (Audio, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Audio{}, err
	}
	return Audio{Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// BytesAudio returns a recording in memory. The caller must not change data while it is in use.
func BytesAudio(data []byte) Audio {
	return Audio{Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// upload is the body of a submission, streamed from the recording.
type upload struct {
	contentType string
	size        int64
	body        io.Reader
	close       func() error
}

// newUpload opens the recording and wraps it into a form with one field. The file name is random, so that it reveals
// nothing about the call.
func newUpload(audio Audio) (*upload, error) {
	f, err := audio.Open()
	if err != nil {
		return nil, err
	}
	name, kind, head, err := sniff(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file"; filename="%s%s"`, strings.ToLower(rand.Text()), name))
	header.Set("Content-Type", kind)
	if _, err := w.CreatePart(header); err != nil {
		f.Close()
		return nil, err
	}
	before := form.Len()
	if err := w.Close(); err != nil {
		f.Close()
		return nil, err
	}
	all := form.Bytes()
	rest := audio.Size - int64(len(head))
	return &upload{
		contentType: w.FormDataContentType(),
		size:        int64(len(all)) + audio.Size,
		body:        io.MultiReader(bytes.NewReader(all[:before]), bytes.NewReader(head), io.LimitReader(f, rest), bytes.NewReader(all[before:])),
		close:       f.Close,
	}, nil
}

// sniff detects the format of a recording from its first bytes, and returns them.
func sniff(r io.Reader) (extension, contentType string, head []byte, err error) {
	head = make([]byte, 12)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	if err != nil && n == 0 {
		return "", "", nil, fmt.Errorf("the recording is empty: %w", err)
	}
	switch s := string(head); {
	case len(s) == 12 && s[4:8] == "ftyp":
		return ".m4a", "audio/mp4", head, nil
	case strings.HasPrefix(s, "ID3"), len(s) > 1 && s[0] == 0xff && s[1]&0xe0 == 0xe0:
		return ".mp3", "audio/mpeg", head, nil
	}
	return ".wav", "audio/wav", head, nil
}
