package auth_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/internal/auth"
	"callscreen/internal/config"
)

const strong = "c0c2ff7b1d5a4e6f9a8b3d2e1f708192"

func TestWeakTokensAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "review.token")
	if err := os.WriteFile(file, []byte(strings.Repeat("a", 64)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := auth.ReadTokens([]string{
		"CALLSCREEN_INGEST_TOKEN=short", "CALLSCREEN_REVIEW_TOKEN_FILE=" + file, "CALLSCREEN_ADMIN_TOKEN=", "CALLSCREEN_OTHER=x",
	})
	var ps config.Problems
	if !errors.As(err, &ps) || len(ps) != 3 {
		t.Fatalf("problems are %v", err)
	}
	for _, want := range []string{"CALLSCREEN_INGEST_TOKEN: ", "CALLSCREEN_REVIEW_TOKEN_FILE: ", "CALLSCREEN_ADMIN_TOKEN: "} {
		if !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "openssl rand -hex 32") != 3 {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), "aaaa") {
		t.Errorf("a token is in the error: %v", err)
	}
	if err := os.WriteFile(file, []byte(strong+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.ReadTokens([]string{"CALLSCREEN_INGEST_TOKEN=" + strong, "CALLSCREEN_REVIEW_TOKEN_FILE=" + file})
	if err != nil || len(tokens) != 2 || tokens["reviewer"].Reveal() != strong {
		t.Errorf("tokens are %v, %v", tokens, err)
	}
}
