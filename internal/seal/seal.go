// Package seal encrypts audio at rest in the format of age (C2SP age-encryption.org/v1), so that the age program can
// decrypt the files too.
package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"

	"filippo.io/age"
)

// magic is the start of an encrypted file. A WAV file starts with RIFF.
const magic = "age-encryption.org/v1\n"

// ErrKey reports that the key of an encrypted file is missing.
var ErrKey = errors.New("the audio is encrypted with another key (hint: add that key to audio_key_file, below the first)")

// ErrTampered reports that a file is not what was stored.
var ErrTampered = errors.New("the stored audio was changed or exchanged")

// Keys encrypt and decrypt files. The zero value and nil encrypt nothing. They are safe for concurrent use.
type Keys struct {
	first age.Recipient
	all   []age.Identity
}

// Parse parses keys in the form of [Generate] and age-keygen, one a line. The first key encrypts, all keys decrypt.
func Parse(text string) (*Keys, error) {
	all, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, errors.New("holds no age keys, one a line") // the error of age could reveal a part of a key
	}
	k := &Keys{all: all}
	switch first := all[0].(type) {
	case *age.X25519Identity:
		k.first = first.Recipient()
	case *age.HybridIdentity:
		k.first = first.Recipient()
	default:
		return nil, fmt.Errorf("the first key is a %T, which cannot encrypt", first)
	}
	return k, nil
}

// Generate returns a new key. The public key can encrypt, but not decrypt.
func Generate() (secret, public string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	return id.String(), id.Recipient().String(), nil
}

// On reports whether files are encrypted.
func (k *Keys) On() bool { return k != nil && k.first != nil }

// A sealed file ends with the name of its segment and the hash of its content, encrypted as the content is. Behind the end
// of a WAV file players ignore them. The footer has the lengths 32, 2 and 16; the name stands before it.
const (
	footerMagic = "callscreen-seal1"
	footerSize  = sha256.Size + 2 + len(footerMagic)
)

// Write writes a whole file, encrypted if there are keys. An encrypted file carries the id of its segment.
func (k *Keys) Write(to io.Writer, id string, data []byte) error {
	if !k.On() {
		_, err := to.Write(data)
		return err
	}
	if len(id) > math.MaxUint16 {
		return fmt.Errorf("seal: the id has %d bytes", len(id))
	}
	w, err := age.Encrypt(to, k.first)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	end := append([]byte(id), sum[:]...)
	end = append(binary.BigEndian.AppendUint16(end, uint16(len(id))), footerMagic...)
	for _, part := range [][]byte{data, end} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Close()
}

// Sealed reports whether a file of that size is encrypted.
func Sealed(from io.ReaderAt, size int64) (bool, error) {
	if size < int64(len(magic)) {
		return false, nil
	}
	head := make([]byte, len(magic))
	if _, err := from.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(head, []byte(magic)), nil
}

// Content is the content of a file.
type Content struct {
	io.ReaderAt
	Size int64
	// Sealed reports whether the file was encrypted. ID is the segment that an encrypted file carries, "" in files of
	// earlier versions.
	Sealed bool
	ID     string
}

// Open returns the content of a file of that size, for encrypted and plain files. The error is ErrKey if no key fits, and
// ErrTampered if the file was changed. A change is also detected while reading.
func (k *Keys) Open(from io.ReaderAt, size int64) (Content, error) {
	sealed, err := Sealed(from, size)
	if err != nil || !sealed {
		return Content{ReaderAt: from, Size: size}, err
	}
	if !k.On() {
		return Content{}, ErrKey
	}
	file := &source{ReaderAt: from}
	content, n, err := age.DecryptReaderAt(file, size, k.all...)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return Content{}, ErrKey
	}
	if err != nil {
		return Content{}, file.judge(err)
	}
	c := Content{ReaderAt: checked{content, file}, Size: n, Sealed: true}
	return c, c.readID()
}

// readID reads the footer, if there is one, and removes it from the content.
func (c *Content) readID() error {
	if c.Size < int64(footerSize) {
		return nil
	}
	footer := make([]byte, footerSize)
	if _, err := c.ReadAt(footer, c.Size-int64(footerSize)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	length := int64(binary.BigEndian.Uint16(footer[sha256.Size:]))
	start := c.Size - int64(footerSize) - length
	if string(footer[sha256.Size+2:]) != footerMagic || start < 0 {
		return nil // of an earlier version
	}
	id := make([]byte, length)
	if _, err := c.ReadAt(id, start); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	c.Size, c.ID = start, string(id)
	return nil
}

// source is an encrypted file. It remembers errors of the disk or the network, which are no errors of the decryption.
type source struct {
	io.ReaderAt
	failed atomic.Bool
}

func (s *source) ReadAt(b []byte, at int64) (int, error) {
	n, err := s.ReaderAt.ReadAt(b, at)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed.Store(true)
	}
	return n, err
}

// judge returns the error of a decryption, as ErrTampered unless reading the file failed.
func (s *source) judge(err error) error {
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || s.failed.Load() {
		return err
	}
	return fmt.Errorf("%w: %w", ErrTampered, err)
}

type checked struct {
	content io.ReaderAt
	file    *source
}

func (c checked) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.content.ReadAt(b, at)
	return n, c.file.judge(err)
}
