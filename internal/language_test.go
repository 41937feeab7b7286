package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// thisFile holds the examples of the rules.
const thisFile = "internal/language_test.go"

const (
	maxLine   = 140
	maxOneRow = 4 // fields of a struct literal that may share a line
)

// The rules of the language. Each is tested on examples.
var (
	idiom    = regexp.MustCompile(`^[\w.\[\]*]*\s(?:tells|says|is what|is who|is how|is where)\b`)
	opening  = regexp.MustCompile(`^(?:What|Who|Whoever)\b`)
	couldNot = regexp.MustCompile(`(?i)\bit could not\b|^that\b.*\bcould not\b`)
	words    = regexp.MustCompile(`(?i)\b(?:for ever|at the most|anew|lets? go of|nobody|somebody|whoever|the begin)\b`)
)

type hit struct {
	line int
	rule string
	text string
}

func (h hit) String() string { return fmt.Sprintf("%s: %.100q", h.rule, h.text) }

func TestLanguage(t *testing.T) {
	goFiles, pages := 0, 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "node_modules", "out", "testdata"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if name == thisFile {
			return nil
		}
		var hits []hit
		switch filepath.Ext(name) {
		case ".go":
			goFiles++
			text, readErr := os.ReadFile(path)
			if readErr != nil {
				return readErr
			}
			if hits, err = goHits(name, text); err != nil {
				return err
			}
		case ".md", ".html":
			pages++
			text, readErr := os.ReadFile(path)
			if readErr != nil {
				return readErr
			}
			hits = pageHits(string(text))
		}
		for _, h := range hits {
			t.Errorf("%s:%d: %v", name, h.line, h)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if goFiles < 100 || pages < 5 {
		t.Fatalf("only %d Go files and %d pages were read", goFiles, pages)
	}
}

// pageHits checks a document or a template.
func pageHits(text string) (hits []hit) {
	for i, line := range strings.Split(text, "\n") {
		if w := words.FindString(line); w != "" {
			hits = append(hits, hit{i + 1, "word", w})
		}
	}
	return hits
}

// goHits checks a Go file. A generated file has no hits.
func goHits(name string, text []byte) (hits []hit, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil || ast.IsGenerated(file) {
		return nil, err
	}
	for i, line := range strings.Split(string(text), "\n") {
		if n := utf8.RuneCountInString(line); n > maxLine {
			hits = append(hits, hit{i + 1, fmt.Sprintf("%d columns", n), strings.TrimSpace(line)})
		}
	}
	for _, group := range file.Comments {
		hits = append(hits, commentHits(set, group)...)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if crowded(set, n) {
				hits = append(hits, hit{set.Position(n.Pos()).Line, "fields that share a line", "give each field its own line"})
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				hits = append(hits, stringHits(set, n, strings.HasSuffix(name, "_test.go"))...)
			}
		}
		return true
	})
	slices.SortStableFunc(hits, func(a, b hit) int { return a.line - b.line })
	return hits, nil
}

// stringHits checks a string literal. The words are only checked in sentences, and not in the data of tests.
func stringHits(set *token.FileSet, lit *ast.BasicLit, test bool) (hits []hit) {
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return nil
	}
	line := set.Position(lit.Pos()).Line
	if couldNot.MatchString(text) {
		hits = append(hits, hit{line, "noun, verb and result are missing", text})
	}
	if w := words.FindString(text); w != "" && !test && strings.Contains(text, " ") {
		hits = append(hits, hit{line, "word", w})
	}
	return hits
}

// commentHits checks the sentences of a comment group.
func commentHits(set *token.FileSet, group *ast.CommentGroup) (hits []hit) {
	for _, s := range sentences(set, group) {
		if idiom.MatchString(s.text) {
			hits = append(hits, hit{s.line, "idiom", s.text})
		}
		if opening.MatchString(s.text) && !strings.HasSuffix(s.text, "?") {
			hits = append(hits, hit{s.line, "sentence begins with What, Who or Whoever", s.text})
		}
		if w := words.FindString(s.text); w != "" {
			hits = append(hits, hit{s.line, "word", w})
		}
	}
	return hits
}

type sentence struct {
	line int
	text string
}

// sentences splits a comment group at full stops and blank lines. Directives and code blocks are left out.
func sentences(set *token.FileSet, group *ast.CommentGroup) (list []sentence) {
	current := sentence{}
	end := func() {
		if current.text != "" {
			list = append(list, current)
		}
		current = sentence{}
	}
	for _, c := range group.List {
		first := set.Position(c.Pos()).Line
		for i, line := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(c.Text, "/*"), "*/"), "\n") {
			text, comment := strings.CutPrefix(line, "//")
			if comment && text != "" && text[0] != ' ' || strings.TrimSpace(text) == "" { // a directive, code or a blank line
				end()
				continue
			}
			for word := range strings.FieldsSeq(text) {
				if current.text == "" {
					current.line = first + i
				} else {
					current.text += " "
				}
				current.text += word
				if strings.HasSuffix(strings.TrimRight(word, `"')`), ".") || strings.HasSuffix(word, "?") || strings.HasSuffix(word, "!") {
					end()
				}
			}
		}
	}
	end()
	return list
}

// crowded reports whether two fields of a long struct literal share a line. Keys of structs are identifiers, keys of maps
// and arrays usually are not.
func crowded(set *token.FileSet, lit *ast.CompositeLit) bool {
	if _, isMap := lit.Type.(*ast.MapType); isMap || len(lit.Elts) <= maxOneRow {
		return false
	}
	last := 0
	for _, e := range lit.Elts {
		field, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		if _, ok := field.Key.(*ast.Ident); !ok {
			return false
		}
		line := set.Position(field.Pos()).Line
		if line == last {
			return true
		}
		last = line
	}
	return false
}

func TestLanguageRulesFindExamples(t *testing.T) {
	long := "var a = `" + strings.Repeat("x", maxLine) + "`"
	for name, c := range map[string]struct {
		source string
		want   string // line: rule, or "" for no hit
	}{
		"tells":                 {"// open tells whether it is open.\nvar a int", "2: idiom"},
		"says":                  {"// It is open. State says how far.\nvar a int", "2: idiom"},
		"is what":               {"// Config is what is set.\nvar a int", "2: idiom"},
		"is who":                {"// Actor is who acts.\nvar a int", "2: idiom"},
		"is how":                {"// Wait is how long it takes.\nvar a int", "2: idiom"},
		"is where":              {"// Dir is where files go.\nvar a int", "2: idiom"},
		"of a package":          {"// [policy.Policy] tells more.\nvar a int", "2: idiom"},
		"second sentence":       {"// One fact.\n// Another fact. This\n// is what it means.\nvar a int", "3: idiom"},
		"trailing":              {"var a int // it says so", "2: idiom"},
		"block":                 {"/* One fact.\nmode tells how. */\nvar a int", "3: idiom"},
		"reports whether":       {"// open reports whether it is open, and not how it tells.\nvar a int", ""},
		"what":                  {"// What fails is retried.\nvar a int", "2: sentence begins with What, Who or Whoever"},
		"who":                   {"// Late. Who comes late gets 409.\nvar a int", "2: sentence begins with What, Who or Whoever"},
		"question":              {"// What is retried? Nothing.\nvar a int", ""},
		"whole":                 {"// Whole files only.\nvar a int", ""},
		"whoever":               {"// Whoever asks.\nvar a int", "2: sentence begins with What, Who or Whoever; 2: word"},
		"for ever":              {"// It waits for\n// ever.\nvar a int", "2: word"},
		"at the most":           {"// Two at the most.\nvar a int", "2: word"},
		"anew":                  {"// It starts anew.\nvar a int", "2: word"},
		"lets go of":            {"// Close lets go of it.\nvar a int", "2: word"},
		"let go of":             {"// It is let go of.\nvar a int", "2: word"},
		"nobody":                {"// For nobody.\nvar a int", "2: word"},
		"somebody":              {"// For somebody.\nvar a int", "2: word"},
		"the begin":             {"// From the begin.\nvar a int", "2: word"},
		"the beginning":         {"// From the beginning.\nvar a int", ""},
		"code block":            {"// Example:\n//\n//\tnobody tells\nvar a int", ""},
		"directive":             {"//nolint:all // nobody tells\nvar a int", ""},
		"it could not":          {"var a = \"it could not be noted\"", "2: noun, verb and result are missing"},
		"that could not":        {"var a = `that a call ended could not be noted`", "2: noun, verb and result are missing"},
		"could not":             {"var a = `a segment that could not be sent`", ""},
		"word in a message":     {"var a = \"nobody answers\"", "2: word"},
		"word as a name":        {"var a = \"nobody\"", ""},
		"long line":             {long, "2: 150 columns"},
		"wide characters":       {"var a = `" + strings.Repeat("ü", maxLine-10) + "`", ""},
		"crowded":               {"var a = T{A: 1, B: 2, C: 3, D: 4, E: 5}", "2: fields that share a line"},
		"crowded pair":          {"var a = T{\nA: 1,\nB: 2,\nC: 3, D: 4,\nE: 5,\n}", "2: fields that share a line"},
		"crowded inside":        {"var a = []T{\n{A: 1, B: 2, C: 3, D: 4, E: 5},\n}", "3: fields that share a line"},
		"four fields":           {"var a = T{A: 1, B: 2, C: 3, D: 4}", ""},
		"one field a line":      {"var a = T{\nA: 1,\nB: 2,\nC: 3,\nD: 4,\nE: 5,\n}", ""},
		"a map":                 {"var a = map[int]int{x: 1, y: 2, z: 3, v: 4, w: 5}", ""},
		"an array":              {"var a = [...]int{0: 1, 1: 2, 2: 3, 3: 4, 4: 5}", ""},
		"values without fields": {"var a = T{1, 2, 3, 4, 5}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			hits, err := goHits("a.go", []byte("package a\n"+c.source+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := listed(hits); got != c.want {
				t.Errorf("got %q, want %q in\n%s", got, c.want, c.source)
			}
		})
	}
	generated := "// Code generated by x. DO NOT EDIT.\n\npackage a\n\n// For nobody.\nvar a int\n"
	if hits, err := goHits("a.go", []byte(generated)); len(hits) > 0 || err != nil {
		t.Errorf("generated file: %v, %v", hits, err)
	}
	if hits, err := goHits("a_test.go", []byte("package a\n\nvar a = \"nobody answers\"\n")); len(hits) > 0 || err != nil {
		t.Errorf("data of a test: %v, %v", hits, err)
	}
	if got := listed(pageHits("One line.\n<p>Nobody, at the most.</p>\n")); got != "2: word" {
		t.Errorf("page: %q", got)
	}
}

func listed(hits []hit) string {
	var list []string
	for _, h := range hits {
		list = append(list, fmt.Sprintf("%d: %s", h.line, h.rule))
	}
	return strings.Join(list, "; ")
}
