package config

import (
	"fmt"
	"math"
	"strings"
	"unicode"
)

// Limits of the estimates, in bits. The second one allows for coincidences in 128 random bits, which look regular in places.
const (
	leastBits  = 128
	leastTrust = 80
)

// StrongSecret is the hint for a weak secret.
const StrongSecret = "make one with: openssl rand -hex 32"

// Weakness returns the reason why a secret can be guessed, or "". It estimates the randomness by length and alphabet, and again
// without repetitions, sequences and words. A secret of 16 random bytes or more, in hexadecimal, base32 or base64, passes.
func (s Secret) Weakness() string {
	text := string(s)
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "contains a space or a control character"
	}
	per := bitsPerCharacter(text)
	if bits := per * float64(len(text)-separators(text)); bits < leastBits {
		return fmt.Sprintf("has at most %d bits of randomness by its length and alphabet, must have at least %d", int(bits), leastBits)
	}
	if bits := irregularBits(text, per); bits < leastTrust {
		return fmt.Sprintf("is regular or made of words: it has about %d bits of randomness, must have at least %d", int(bits), leastBits)
	}
	return ""
}

func isSeparator(r rune) bool { return strings.ContainsRune("-_.:", r) }

// separators counts the characters that only separate groups, if the others are of a small alphabet, as in a UUID.
func separators(text string) int {
	if bitsPerCharacter(text) == 6 {
		return 0
	}
	n := 0
	for _, r := range text {
		if isSeparator(r) {
			n++
		}
	}
	return n
}

// bitsPerCharacter returns the bits that a random character of the alphabet of a text holds.
func bitsPerCharacter(text string) float64 {
	only := func(is func(r rune) bool) bool {
		return !strings.ContainsFunc(text, func(r rune) bool { return !is(r) && !isSeparator(r) })
	}
	within := func(set string) func(rune) bool { return func(r rune) bool { return strings.ContainsRune(set, r) } }
	switch {
	case only(unicode.IsDigit):
		return math.Log2(10)
	case only(within("0123456789abcdef")), only(within("0123456789ABCDEF")):
		return 4
	case only(func(r rune) bool { return unicode.IsDigit(r) || unicode.IsLower(r) }),
		only(func(r rune) bool { return unicode.IsDigit(r) || unicode.IsUpper(r) }):
		return 5
	}
	return 6
}

// irregularBits estimates the bits without what can be foretold: a character that repeats three that came before, or that goes
// on with a sequence, and the letters of words.
func irregularBits(text string, per float64) float64 {
	lower := lowerASCII(text)
	word := math.Inf(1)
	if looksLikeWords(text) {
		word = 1.5 // of a letter of English text (Shannon, 1951)
	}
	bits := 0.0
	for i := 0; i < len(lower); {
		if n := foretold(lower, i); n > 0 {
			bits++ // where it repeats
			i += n
			continue
		}
		if c := lower[i]; isLetter(c) {
			bits += min(per, word)
		} else if !isSeparator(rune(c)) || per == 6 {
			bits += per
		}
		i++
	}
	return bits
}

// foretold returns the length of the repetition, sequence or common word at i, or 0.
func foretold(lower string, i int) int {
	n := 0
	for _, list := range known {
		if strings.HasPrefix(lower[i:], list) {
			n = max(n, len(list))
		}
	}
	for j := 3; i+j <= len(lower); j++ {
		if !strings.Contains(lower[:i+j-1], lower[i:i+j]) {
			break
		}
		n = max(n, j)
	}
	for _, step := range []int{-1, 0, 1} {
		j := 1
		for i+j < len(lower) && int(lower[i+j])-int(lower[i+j-1]) == step {
			j++
		}
		if j >= 4 {
			n = max(n, j)
		}
	}
	return n
}

// known are parts of secrets that are tried first.
var known = []string{
	"password", "passwort", "secret", "token", "callscreen", "ingest", "review", "viewer", "admin", "changeme", "change", "default",
	"example", "replace", "letmein", "welcome", "qwerty", "qwertz", "asdf", "zxcv", "test", "demo", "dummy", "dataspike", "bank",
	"deadbeef", "cafebabe",
}

// pairs are the most frequent pairs of letters in English words.
const pairs = " th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro " +
	"ic ne ea ra ce li ch ll be ma si om ur "

// looksLikeWords reports whether the letters of a text follow each other as in words, of which half of the pairs are frequent.
// In random letters it is one of 13. Letters of words are of one case, or only the first one is upper case.
func looksLikeWords(text string) bool {
	n, frequent := 0, 0
	lower := lowerASCII(text)
	for i := 1; i < len(lower); i++ {
		oneCase := text[i] == lower[i] || text[i-1] != lower[i-1]
		if !isLetter(lower[i-1]) || !isLetter(lower[i]) || !oneCase {
			continue
		}
		n++
		if strings.Contains(pairs, " "+lower[i-1:i+1]+" ") {
			frequent++
		}
	}
	return n >= 18 && frequent*20 >= n*9
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }

// lowerASCII keeps the length of the text.
func lowerASCII(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
