package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"callscreen/internal/config"
)

// Every key is read somewhere outside of this package, and not only filled and judged here. What it proves is little, and
// enough to find a key that does nothing: that some selector there has the name of the field, X.PollMax. It does not know of
// which type X is, so that a key whose name another type has too can slip through.
func TestEveryKeyIsReadBySomething(t *testing.T) {
	read := selectors(t, "../..")
	var unread func(path string, of reflect.Type)
	unread = func(path string, of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			key := strings.TrimPrefix(path+"."+strings.Split(f.Tag.Get("yaml"), ",")[0], ".")
			inner := f.Type
			for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && strings.HasPrefix(inner.PkgPath(), "callscreen/") {
				unread(key, inner)
				continue
			}
			if !read[f.Name] {
				t.Errorf("nothing reads %s: no .%s outside of internal/config", key, f.Name)
			}
		}
	}
	unread("", reflect.TypeFor[config.Config]())
}

// selectors are the names behind a dot in the source of the program, but for this package and tests. What Segmenter
// and Slog read for callers outside, and Load for the secrets that it fetches, counts too.
func selectors(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		own := filepath.Base(filepath.Dir(path)) == "config"
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			if own && (!isFunc || !slices.Contains([]string{"Segmenter", "Slog", "Load"}, f.Name.Name)) {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					names[s.Sel.Name] = true
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every call that reports a problem gives a hint, also those that no other test makes happen.
func TestEveryProblemInTheSourceHasAHint(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				s, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || s.Sel.Name != "add" || len(n.Args) < 3 {
					return true
				}
				found++
				if l, ok := n.Args[1].(*ast.BasicLit); ok && strings.Trim(l.Value, "\"` ") == "" {
					t.Errorf("%s: a problem without a hint", set.Position(n.Pos()))
				}
			case *ast.CompositeLit:
				if id, ok := n.Type.(*ast.Ident); ok && id.Name == "Problem" && !hasHint(n) {
					t.Errorf("%s: a problem without a hint", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if found < 40 {
		t.Errorf("only %d places that report a problem", found)
	}
}

func hasHint(lit *ast.CompositeLit) bool {
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if id, ok := kv.Key.(*ast.Ident); ok && id.Name == "Hint" {
			return true
		}
	}
	return false
}
