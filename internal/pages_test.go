package internal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README is short, its picture is small, and its first two commands run the product and the tests.
func TestReadmeIsShort(t *testing.T) {
	readme := documents(t)["README.md"]
	if len(readme) > 8<<10 {
		t.Errorf("the README has %d bytes, at most 8192 are allowed", len(readme))
	}
	first := fence.FindStringSubmatch(readme)
	if first == nil || !regexp.MustCompile(`^make demo\b.*\nmake test\b.*\n$`).MatchString(first[2]) {
		t.Errorf("the first block of the README is %q, want make demo and make test", first)
	}
	picture := regexp.MustCompile(`!\[.+\]\((.+\.png)\)`).FindStringSubmatch(readme)
	if picture == nil {
		t.Fatal("the README has no picture")
	}
	if info, err := os.Stat(filepath.Join("..", picture[1])); err != nil || info.Size() >= 200_000 {
		t.Errorf("%s is not a picture smaller than 200,000 bytes: %v", picture[1], err)
	}
}

// CONTRIBUTING answers ten questions "which file do I open to change X?" with files that exist.
func TestFilesToOpenExist(t *testing.T) {
	_, table, ok := strings.Cut(documents(t)["CONTRIBUTING.md"], "| to change | open |")
	if !ok {
		t.Fatal("CONTRIBUTING.md has no table of files to open")
	}
	rows := regexp.MustCompile("(?m)^\\| (.+) \\| `(.+)` \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) != 10 {
		t.Errorf("%d questions are answered, want 10", len(rows))
	}
	for _, row := range rows {
		if info, err := os.Stat(filepath.Join("..", filepath.FromSlash(row[2]))); err != nil || info.IsDir() {
			t.Errorf("to change %s: %s is not a file: %v", row[1], row[2], err)
		}
	}
}

// Every section of docs/measurements.md names the command that measured its figures and the date.
func TestMeasurementsNameCommandAndDate(t *testing.T) {
	sections := strings.Split(documents(t)["docs/measurements.md"], "\n## ")[1:]
	if len(sections) < 10 {
		t.Fatalf("only %d sections were found", len(sections))
	}
	command := regexp.MustCompile("^[^\n]+\n\nMeasured by `[^`]+`[^|]*\\b2026-\\d\\d-\\d\\d")
	for _, section := range sections {
		if !command.MatchString(section) {
			title, _, _ := strings.Cut(section, "\n")
			t.Errorf("section %q does not begin with its command and date", title)
		}
	}
}

// The glossary is in alphabetical order, and has no word twice.
func TestGlossaryIsSorted(t *testing.T) {
	_, table, _ := strings.Cut(documents(t)["docs/architecture.md"], "## Glossary")
	var words []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z -]+) \| `).FindAllStringSubmatch(table, -1) {
		if m[1] != "word" {
			words = append(words, m[1])
		}
	}
	if len(words) < 20 || !slices.IsSorted(words) || len(slices.Compact(slices.Clone(words))) != len(words) {
		t.Errorf("%d words: %v", len(words), words)
	}
}

// Every decision is in the index and has the three sections.
func TestDecisionsAreComplete(t *testing.T) {
	pages := documents(t)
	index := pages["docs/decisions/README.md"]
	n := 0
	for name, page := range pages {
		if filepath.ToSlash(filepath.Dir(name)) != "docs/decisions" || name == "docs/decisions/README.md" {
			continue
		}
		n++
		if !strings.Contains(index, "("+filepath.Base(name)+")") {
			t.Errorf("%s is not in the index", name)
		}
		if got := anchors(page); len(got) != 4 || !slices.Equal(got[1:], []string{"context", "choice", "consequence"}) {
			t.Errorf("%s has the sections %v", name, got)
		}
	}
	if n < 8 {
		t.Errorf("only %d decisions were found", n)
	}
}

// An example of the library is shorter than 60 lines.
func TestExamplesOfTheLibraryAreShort(t *testing.T) {
	programs, err := filepath.Glob(filepath.Join("..", "docs", "examples", "library", "*", "main.go"))
	if err != nil || len(programs) != 2 {
		t.Fatal(programs, err)
	}
	for _, program := range programs {
		text, err := os.ReadFile(program)
		if lines := bytes.Count(text, []byte("\n")); err != nil || lines >= 60 {
			t.Errorf("%s has %d lines, want less than 60: %v", program, lines, err)
		}
	}
}

// Every target of the Makefile is phony, because none makes a file of its name.
func TestTargetsArePhony(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	declared := regexp.MustCompile(`(?m)^\.PHONY:(.*)$`).FindAllStringSubmatch(joined, -1)
	if len(declared) != 1 {
		t.Fatalf("the Makefile has %d lines .PHONY, want 1", len(declared))
	}
	phony := strings.Fields(declared[0][1])
	targets := regexp.MustCompile(`(?m)^([a-z0-9-]+):(?:[^=]|$)`).FindAllStringSubmatch(joined, -1)
	for _, m := range targets {
		if !slices.Contains(phony, m[1]) {
			t.Errorf("target %s is not in .PHONY", m[1])
		}
	}
	if len(targets) != len(phony) {
		t.Errorf("%d targets, %d names in .PHONY", len(targets), len(phony))
	}
}
