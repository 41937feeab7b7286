package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// leaves are useful alone: they import nothing of each other, nothing of the trunk, and of other modules only what they
// are for.
var leaves = map[string][]string{
	"capture": {"github.com/pion/"},
	"encode": {
		"github.com/pion/opus",
		"github.com/hajimehoshi/go-mp3",
		"github.com/go-audio/",
		"gopkg.in/hraban/opus",
		"github.com/hraban/opus",
	},
	"analyzer": {"github.com/cenkalti/backoff/v4",
		"go.yaml.in/yaml/v4"}, // for the scripts of analyzer/simulator
	"policy": {},
}

// testkit is for the tests of everybody, and imports nothing but the standard library.
const testkit = "callscreen/internal/testkit"

func TestLeavesDoNotKnowEachOther(t *testing.T) {
	files := 0
	for leaf, allowed := range leaves {
		err := filepath.WalkDir(filepath.Join("..", leaf), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			files++
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range f.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				if !permitted(imported, leaf, allowed, strings.HasSuffix(path, "_test.go")) {
					t.Errorf("%s imports %s", path, imported)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 20 {
		t.Fatalf("only %d files were looked at", files)
	}
}

func permitted(imported, leaf string, allowed []string, test bool) bool {
	first, _, _ := strings.Cut(imported, "/")
	if test && imported == testkit {
		return true
	}
	if first == "callscreen" {
		rest := strings.TrimPrefix(imported, "callscreen/")
		return rest == leaf || strings.HasPrefix(rest, leaf+"/")
	}
	if !strings.Contains(first, ".") {
		return true // the standard library
	}
	if test && imported == "go.uber.org/goleak" {
		return true
	}
	for _, prefix := range allowed {
		if strings.HasPrefix(imported, prefix) {
			return true
		}
	}
	return false
}
