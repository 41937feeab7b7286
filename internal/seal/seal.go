// Package seal encrypts audio at rest, in the format of age (C2SP age-encryption.org/v1), so that a file can also be opened
// with the age program.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// magic is what a sealed file begins with. A WAV file begins with RIFF.
const magic = "age-encryption.org/v1\n"

// ErrKey says that audio is sealed with a key that is not there.
var ErrKey = errors.New("the audio is encrypted with another key (hint: add that key to audio_key_file, below the first)")

// Keys seal and open files. The zero value and nil seal nothing. They are safe for concurrent use.
type Keys struct {
	first age.Recipient
	all   []age.Identity
}

// Parse reads keys as [Generate] and age-keygen write them, one a line. The first seals, and all of them open.
func Parse(text string) (*Keys, error) {
	all, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, errors.New("holds no age keys, one a line") // the error of age may show a part of a key
	}
	k := &Keys{all: all}
	switch first := all[0].(type) {
	case *age.X25519Identity:
		k.first = first.Recipient()
	case *age.HybridIdentity:
		k.first = first.Recipient()
	default:
		return nil, fmt.Errorf("the first key is a %T, which cannot seal", first)
	}
	return k, nil
}

// Generate makes a key. public names it, and lets others seal, but not open.
func Generate() (secret, public string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	return id.String(), id.Recipient().String(), nil
}

// On tells whether anything is sealed.
func (k *Keys) On() bool { return k != nil && k.first != nil }

// Write writes a whole file, sealed if there are keys.
func (k *Keys) Write(to io.Writer, data []byte) error {
	if !k.On() {
		_, err := to.Write(data)
		return err
	}
	w, err := age.Encrypt(to, k.first)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// Sealed tells whether a file of that size is sealed.
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

// Open is what a file of that size holds, and how much that is, whether it is sealed or not. What was changed is found out
// when it is read. The error is ErrKey if no key fits.
func (k *Keys) Open(from io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	sealed, err := Sealed(from, size)
	if err != nil || !sealed {
		return from, size, err
	}
	if !k.On() {
		return nil, 0, ErrKey
	}
	content, n, err := age.DecryptReaderAt(from, size, k.all...)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, 0, ErrKey
	}
	return content, n, err
}
