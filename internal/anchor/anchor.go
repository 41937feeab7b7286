// Package anchor writes and reads heads of the audit log that are kept outside of the database. A head may be signed, in the
// form of a signed note (https://c2sp.org/signed-note).
package anchor

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// origin is the first line of a head.
const origin = "callscreen audit head"

// Generate returns a new pair of keys. The name identifies the signer, such as a host name.
func Generate(name string) (secret, public string, err error) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '+' || r > '~' }) {
		return "", "", fmt.Errorf("%q is no name of a signer (hint: such as bank.example, without spaces and plus signs)", name)
	}
	if secret, public, err = note.GenerateKey(rand.Reader, name); err != nil {
		return "", "", fmt.Errorf("generate key: %w", err)
	}
	return secret, public, nil
}

// Head is a line of the audit log: its number and its hash.
type Head struct {
	Seq  int64
	Hash string
}

// Signer signs heads. nil does not sign them.
type Signer struct{ s note.Signer }

// ParseSigner parses the secret half of a pair of keys.
func ParseSigner(secret string) (*Signer, error) {
	s, err := note.NewSigner(strings.TrimSpace(secret))
	if err != nil {
		return nil, errors.New("holds no key of callscreen audit keygen")
	}
	return &Signer{s}, nil
}

// Format returns the text of a head.
func (s *Signer) Format(h Head, at time.Time) (string, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n%s\n", origin, h.Seq, h.Hash, at.UTC().Format(time.RFC3339))
	if s == nil {
		return text, nil
	}
	signed, err := note.Sign(&note.Note{Text: text}, s.s)
	if err != nil {
		return "", fmt.Errorf("sign audit head: %w", err)
	}
	return string(signed), nil
}

// Parse reads a head. If public is not "", the head must have a valid signature of that key.
func Parse(data []byte, public string) (h Head, err error) {
	text := string(data)
	if public != "" {
		v, err := note.NewVerifier(strings.TrimSpace(public))
		if err != nil {
			return h, fmt.Errorf("public key: %w", err)
		}
		n, err := note.Open(data, note.VerifierList(v))
		if err != nil {
			return h, fmt.Errorf("the head has no valid signature of %s: %w", v.Name(), err)
		}
		text = n.Text
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if len(lines) < 4 || lines[0] != origin {
		return h, errors.New("this is no head of an audit log (hint: keep the output of callscreen audit head)")
	}
	if h.Seq, err = strconv.ParseInt(lines[1], 10, 64); err != nil || h.Seq < 0 {
		return h, fmt.Errorf("%q is not the number of an audit line", lines[1])
	}
	h.Hash = lines[2]
	if h.Seq > 0 && len(h.Hash) != 64 {
		return h, fmt.Errorf("%q is not the hash of an audit line", lines[2])
	}
	return h, nil
}
