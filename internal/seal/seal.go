// Package seal encrypts audio at rest in the format of age (C2SP age-encryption.org/v1), so that the age program can
// decrypt the files too.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// magic is the start of an encrypted file. A WAV file starts with RIFF.
const magic = "age-encryption.org/v1\n"

// ErrKey reports that the key of an encrypted file is missing.
var ErrKey = errors.New("the audio is encrypted with another key (hint: add that key to audio_key_file, below the first)")

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

// Write writes a whole file, encrypted if there are keys.
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

// Open returns the content of a file of that size and the size of the content, for encrypted and plain files. A
// manipulation is detected while reading. The error is ErrKey if no key fits.
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
