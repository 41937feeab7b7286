package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// Invariant: the program uses every key. Some expression outside of this package reads its field. Reads by Segmenter
// and Slog for outside callers, and by Load for secrets, count too.
func TestEveryKeyIsReadBySomething(t *testing.T) {
	if testing.Short() {
		t.Skip("type-checks the whole program, and starts no goroutine")
	}
	program, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
		Dir:  "../..", Context: t.Context(),
	}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	read := map[types.Object]bool{}
	var config *types.Package
	for _, p := range program {
		if len(p.Errors) > 0 {
			t.Fatal(p.Errors)
		}
		if p.PkgPath == "callscreen/internal/config" {
			config = p.Types
		}
		selected(p, read)
	}
	keys := 0
	var look func(path string, of types.Type)
	look = func(path string, of types.Type) {
		s := of.Underlying().(*types.Struct)
		for i := range s.NumFields() {
			f := s.Field(i)
			key := strings.TrimPrefix(path+"."+strings.Split(reflect.StructTag(s.Tag(i)).Get("yaml"), ",")[0], ".")
			if inner := element(f.Type()); inner != nil {
				look(key, inner)
				continue
			}
			keys++
			if !read[f] {
				t.Errorf("nothing outside of internal/config reads %s, the field %s", key, f.Name())
			}
		}
	}
	look("", config.Scope().Lookup("Config").Type())
	if keys < 80 {
		t.Errorf("only %d keys", keys)
	}
}

// element returns the struct of this module that a field or its list elements hold, or nil for a plain value.
func element(t types.Type) types.Type {
	switch u := t.(type) {
	case *types.Slice:
		return element(u.Elem())
	case *types.Pointer:
		return element(u.Elem())
	case *types.Named:
		_, isStruct := u.Underlying().(*types.Struct)
		if pkg := u.Obj().Pkg(); isStruct && pkg != nil && strings.HasPrefix(pkg.Path(), "callscreen/") {
			return u
		}
	}
	return nil
}

// selected adds the fields that a package reads.
func selected(p *packages.Package, to map[types.Object]bool) {
	own := p.PkgPath == "callscreen/internal/config"
	for _, file := range p.Syntax {
		for _, decl := range file.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			if own && (!isFunc || !slices.Contains([]string{"Segmenter", "Slog", "Load"}, f.Name.Name)) {
				continue
			}
			if isFunc && strings.EqualFold(f.Name.Name, "validate") {
				continue // the policy validates its own keys
			}
			set := map[ast.Expr]bool{}
			ast.Inspect(decl, func(n ast.Node) bool {
				if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.ASSIGN {
					for _, l := range a.Lhs {
						set[l] = true
					}
				}
				if s, ok := n.(*ast.SelectorExpr); ok && !set[s] {
					if selection := p.TypesInfo.Selections[s]; selection != nil {
						to[selection.Obj()] = true
					}
				}
				return true
			})
		}
	}
}

// Invariant: every reported problem has a hint, including problems that no other test causes.
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
