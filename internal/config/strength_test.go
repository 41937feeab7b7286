package config_test

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"callscreen/internal/config"
)

func TestWeakSecretsAreNamed(t *testing.T) {
	for _, weak := range []string{
		"", "in", "secret", "correct horse battery staple of the night shift", "0123456789abcdef", "only-for-this-test",
		strings.Repeat("a", 64), strings.Repeat("k", 32), strings.Repeat("ab", 40), strings.Repeat("0123456789abcdef", 4),
		strings.Repeat("changeme", 8), strings.Repeat("Pa55word!", 5), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
		"11111111222222223333333344444444", "qwertyuiopasdfghjklzxcvbnm1234567890", "deadbeefdeadbeefdeadbeefdeadbeef",
		"CorrectHorseBatteryStaple2024!", "our-production-token-for-the-calls-of-the-bank", "ThisIsTheSecretTokenOfOurIngest",
		"3f9c1d7ab4e2085c6f1a9d3e7b4c2f0",
	} {
		if config.Secret(weak).Weakness() == "" {
			t.Errorf("%q is not weak", weak)
		}
	}
}

// Random secrets of 16 bytes or more are never refused.
func TestRandomSecretsAreStrong(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	encodings := map[string]func([]byte) string{
		"hex":        hex.EncodeToString,
		"HEX":        func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) },
		"base64":     base64.StdEncoding.EncodeToString,
		"base64url":  base64.RawURLEncoding.EncodeToString,
		"base32":     base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString,
		"with dash":  func(b []byte) string { h := hex.EncodeToString(b); return h[:8] + "-" + h[8:16] + "-" + h[16:] },
		"whsec_ ...": func(b []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(b) },
	}
	for name, encode := range encodings {
		for _, size := range []int{16, 24, 32} {
			for range 3000 {
				b := make([]byte, size)
				_, _ = random.Read(b)
				if why := config.Secret(encode(b)).Weakness(); why != "" {
					t.Fatalf("%s of %d bytes: %s %s", name, size, encode(b), why)
				}
			}
			b := make([]byte, size/2)
			_, _ = random.Read(b)
			if size < 32 && name != "whsec_ ..." && config.Secret(encode(b)).Weakness() == "" {
				t.Errorf("%s of %d bytes is not weak", name, size/2)
			}
		}
	}
}
