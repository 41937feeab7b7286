package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"callscreen/internal/config"
)

var update = flag.Bool("update", false, "write the configuration reference into docs/configuration.md")

const (
	reference = "../../docs/configuration.md"
	begin     = "<!-- config describe -->\n"
	end       = "<!-- end -->"
)

// Invariant: the reference in docs/configuration.md equals the output of the program. Update it with `make docs`.
func TestConfigurationReference(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q ... %q", reference, begin, end)
	}
	var b bytes.Buffer
	if err := config.Describe(&b); err != nil {
		t.Fatal(err)
	}
	want := "```yaml\n" + strings.TrimLeft(b.String(), "\n") + "```\n"
	if got == want {
		return
	}
	if !*update {
		t.Fatal("docs/configuration.md is out of date (hint: make docs)")
	}
	if err := os.WriteFile(reference, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
