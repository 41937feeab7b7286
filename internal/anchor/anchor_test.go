package anchor_test

import (
	"strings"
	"testing"
	"time"

	"callscreen/internal/anchor"
)

var (
	head = anchor.Head{Seq: 42, Hash: strings.Repeat("ab", 32)}
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestHeadsAreRead(t *testing.T) {
	secret, public, err := anchor.Generate("bank.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := anchor.ParseSigner(secret + "\n")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := (*anchor.Signer)(nil).Format(head, noon)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Format(head, noon)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := anchor.Generate("bank.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text, public string
		ok                 bool
	}{
		{"plain", plain, "", true},
		{"with the line ends of another system", strings.ReplaceAll(plain, "\n", "\r\n"), "", true},
		{"signed", signed, public, true},
		{"signed, without a key", signed, "", true},
		{"not signed", plain, public, false},
		{"another key of that name", signed, other, false},
		{"another number", strings.Replace(signed, "42", "41", 1), public, false},
		{"a broken key", signed, "x", false},
		{"another file", "hello\n1\n2\n3\n", "", false},
		{"a broken number", strings.Replace(plain, "42", "4x", 1), "", false},
		{"a short hash", strings.Replace(plain, "abab", "", 1), "", false},
		{"empty", "", "", false},
	} {
		got, err := anchor.Parse([]byte(c.text), c.public)
		if (err == nil) != c.ok || c.ok && got != head {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestKeysAreChecked(t *testing.T) {
	if _, err := anchor.ParseSigner("bank.example"); err == nil {
		t.Error("a name is no key")
	}
	if _, _, err := anchor.Generate("bank example"); err == nil {
		t.Error("a name with a space is no name")
	}
}
