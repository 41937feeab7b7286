package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// leaves maps each leaf to the modules that it may import. A leaf imports nothing of another leaf or of the trunk.
var leaves = map[string][]string{
	"capture": {"github.com/pion/", "golang.org/x/sys/cpu"},
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

// testkit may be imported by the tests of all packages, and imports only the standard library.
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
	if rest, ok := strings.CutPrefix(imported, "callscreen/"); ok {
		return rest == leaf || strings.HasPrefix(rest, leaf+"/")
	}
	if !strings.Contains(first, ".") {
		return true // the standard library
	}
	if test && (imported == "go.uber.org/goleak" || imported == "golang.org/x/sys/unix") {
		return true
	}
	for _, prefix := range allowed {
		if strings.HasPrefix(imported, prefix) {
			return true
		}
	}
	return false
}

// packageImports returns the imports of each package of the module, without those of its tests.
func packageImports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "callscreen/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		imports[words[0]] = words[1:]
	}
	if len(imports) < 20 {
		t.Fatalf("only %d packages were found", len(imports))
	}
	return imports
}

// Invariant: only the program imports package app. A trunk package that imported it could reach everything.
func TestOnlyTheProgramKnowsTheApp(t *testing.T) {
	for name, imports := range packageImports(t) {
		if !strings.HasPrefix(name, "callscreen/cmd/") && slices.Contains(imports, "callscreen/internal/app") {
			t.Errorf("%s imports internal/app", name)
		}
	}
}

// Invariant: the layers of the trunk, from the store up. No package imports one that comes later in the list.
func TestTheTrunkHasOneDirection(t *testing.T) {
	layers := []string{"report", "store", "store/storetest", "screen", "screen/month", "review", "app"}
	imports := packageImports(t)
	for i, low := range layers {
		name := "callscreen/internal/" + low
		if imports[name] == nil {
			t.Fatalf("there is no package %s", name)
		}
		for _, high := range layers[i+1:] {
			if slices.Contains(imports[name], "callscreen/internal/"+high) {
				t.Errorf("%s imports internal/%s", name, high)
			}
		}
	}
}

// Invariant: replay needs neither a database nor a queue.
func TestReplayNeedsNoDatabase(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "callscreen/internal/replay").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "callscreen/policy") {
		t.Fatalf("internal/replay does not depend on policy: %v", deps)
	}
	for _, dep := range deps {
		if dep == "database/sql" { // pion's identifiers need its driver package
			t.Error("internal/replay depends on database/sql")
		}
		for _, banned := range []string{
			"github.com/riverqueue/",
			"github.com/jackc/",
			"modernc.org/sqlite",
			"callscreen/internal/store",
		} {
			if strings.HasPrefix(dep, banned) {
				t.Errorf("internal/replay depends on %s", dep)
			}
		}
	}
}
