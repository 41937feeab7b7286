package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test named by the threat model exists, and every threat names a test.
func TestTheThreatModelNamesTestsThatExist(t *testing.T) {
	var tests strings.Builder
	if err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	rows := 0
	for line := range strings.Lines(string(document)) {
		if !strings.HasPrefix(line, "| ") || strings.Contains(line, "what could go wrong") {
			continue
		}
		rows++
		named := name.FindAllStringSubmatch(line, -1)
		if len(named) == 0 {
			t.Errorf("no test is named: %.60s", line)
		}
		for _, n := range named {
			if !strings.Contains(tests.String(), "\nfunc "+n[1]+"(") {
				t.Errorf("%s does not exist: %.60s", n[1], line)
			}
		}
	}
	if rows < 30 {
		t.Errorf("only %d threats were looked at", rows)
	}
}
