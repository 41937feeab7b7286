package seal_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"filippo.io/age"

	"callscreen/internal/seal"
)

func key(t *testing.T) string {
	t.Helper()
	secret, public, err := seal.Generate()
	if err != nil || !strings.HasPrefix(secret, "AGE-SECRET-KEY-1") || !strings.HasPrefix(public, "age1") {
		t.Fatal(public, err)
	}
	return secret
}

func keys(t *testing.T, lines ...string) *seal.Keys {
	t.Helper()
	k, err := seal.Parse(strings.Join(lines, "\n") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sealed(t *testing.T, k *seal.Keys, data []byte) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	if err := k.Write(&b, "segment-1", data); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

// Encrypted content can be read from any position, and the file does not reveal it.
func TestWhatIsSealedIsReadFromAnyPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	k := keys(t, key(t))
	for _, size := range []int{0, 1, 44, 65535, 65536, 65537, 300_000} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		file := sealed(t, k, data)
		content, err := k.Open(file, file.Size())
		n := content.Size
		if err != nil || n != int64(size) || content.ID != "segment-1" {
			t.Fatalf("%d bytes: %d %v", size, n, err)
		}
		for range 20 {
			from := rng.IntN(size + 1)
			to := from + rng.IntN(size-from+1)
			got := make([]byte, to-from)
			if _, err := content.ReadAt(got, int64(from)); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, data[from:to]) {
				t.Errorf("%d bytes, %d to %d: %v", size, from, to, err)
			}
		}
		whole, _ := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
		if size >= 44 && bytes.Contains(whole, data[:44]) {
			t.Errorf("%d bytes show", size)
		}
	}
}

// After a new key is placed above the old one, files of the old key and plain files can still be read.
func TestKeysAreChanged(t *testing.T) {
	old, next := key(t), key(t)
	data := []byte(strings.Repeat("RIFF and so on ", 10))
	files := map[string]*bytes.Reader{
		"plain": sealed(t, nil, data),
		"old":   sealed(t, keys(t, old), data),
		"next":  sealed(t, keys(t, next, old), data),
	}
	for name, c := range map[string]struct {
		k    *seal.Keys
		open string
	}{
		"none":         {nil, "plain"},
		"the old one":  {keys(t, "# of last year", old), "plain old"},
		"the next one": {keys(t, next), "plain next"},
		"both":         {keys(t, next, old), "plain old next"},
	} {
		for sealedBy, file := range files {
			content, err := c.k.Open(file, file.Size())
			if !strings.Contains(c.open, sealedBy) {
				if !errors.Is(err, seal.ErrKey) || !strings.Contains(err.Error(), "(hint: ") {
					t.Errorf("%s, sealed by %s: %v", name, sealedBy, err)
				}
				continue
			}
			got := make([]byte, content.Size)
			if err != nil {
				t.Errorf("%s, sealed by %s: %v", name, sealedBy, err)
			} else if _, err := content.ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, data) {
				t.Errorf("%s, sealed by %s: %q %v", name, sealedBy, got, err)
			}
		}
	}
}

// A changed bit or a truncation is detected at any position.
func TestWhatWasChangedIsNotRead(t *testing.T) {
	k := keys(t, key(t))
	data := bytes.Repeat([]byte("0123456789abcdef"), 9000)
	file := sealed(t, k, data)
	whole, _ := io.ReadAll(file)
	read := func(b []byte) error {
		content, err := k.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		_, err = io.ReadAll(io.NewSectionReader(content, 0, content.Size))
		return err
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for at := 30; at < len(whole); at += 997 {
		b := bytes.Clone(whole)
		b[at] ^= 1
		// Where the file names its key, a change looks like another key.
		if err := read(b); !errors.Is(err, seal.ErrTampered) && (at > 200 || !errors.Is(err, seal.ErrKey)) {
			t.Errorf("byte %d was changed: %v", at, err)
		}
	}
	for _, n := range []int{len(whole) - 1, len(whole) - 65552, 300} {
		if err := read(whole[:n]); !errors.Is(err, seal.ErrTampered) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestNoKeys(t *testing.T) {
	for _, text := range []string{
		"",
		"\n",
		"# nothing\n",
		"AGE-SECRET-KEY-1XX",
		"secret",
		"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
	} {
		if _, err := seal.Parse(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// broken is a disk that fails behind a place.
type broken struct {
	io.ReaderAt
	behind int64
}

func (b broken) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > b.behind {
		return 0, errors.New("input/output error")
	}
	return b.ReaderAt.ReadAt(p, at)
}

// A disk that fails is no evidence of a change: the file is read again later.
func TestADiskThatFailsIsNoTampering(t *testing.T) {
	k := keys(t, key(t))
	file := sealed(t, k, bytes.Repeat([]byte("0123456789abcdef"), 9000))
	content, err := k.Open(broken{file, 400}, file.Size())
	if err == nil {
		_, err = io.ReadAll(io.NewSectionReader(content, 0, content.Size))
	}
	if err == nil || errors.Is(err, seal.ErrTampered) {
		t.Error(err)
	}
}

// Files that earlier versions encrypted carry no segment. The age program writes such files too.
func TestFilesWithoutASegment(t *testing.T) {
	secret := key(t)
	id, err := age.ParseX25519Identity(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("0123456789"), 20000)} {
		var b bytes.Buffer
		w, err := age.Encrypt(&b, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		content, err := keys(t, secret).Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil || content.ID != "" || content.Size != int64(len(data)) || !content.Sealed {
			t.Errorf("%d bytes: %+v %v", len(data), content, err)
		}
	}
}
