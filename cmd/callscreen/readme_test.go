package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"callscreen/internal/config"
)

var update = flag.Bool("update", false, "write what the program prints into the README")

const (
	readme = "../../README.md"
	begin  = "<!-- config describe -->\n"
	end    = "<!-- end -->"
)

// Invariant: the reference in the README equals the output of the program. Update it with `make docs`.
func TestReadmeHoldsTheConfigurationReference(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("the README has no %q ... %q", begin, end)
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
		t.Fatal("the configuration reference of the README is out of date (hint: make docs)")
	}
	if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
