package app

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestTheNodeNameStaysWithTheFolder(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	first, err := nodeName(dir)
	if err != nil || !regexp.MustCompile("^node-[a-z2-7]{12}$").MatchString(first) {
		t.Fatal(first, err)
	}
	again, err := nodeName(dir)
	if err != nil || again != first {
		t.Error(again, err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if name, err := nodeName(moved); err != nil || name != first {
		t.Error(name, err)
	}
	if name, err := nodeName(other); err != nil || name == first {
		t.Error(name, err)
	}
	info, err := os.Stat(filepath.Join(moved, "node"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(moved, "*")); len(left) != 1 {
		t.Error(left)
	}
}

func TestTheNodeNameThatIsThereIsUsed(t *testing.T) {
	for content, want := range map[string]string{"eu-west-1\n": "eu-west-1", "  eu ": "eu", "": "", "\n": ""} {
		dir := t.TempDir()
		path := filepath.Join(dir, "node")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".tmp", []byte("half"), 0o600); err != nil { // of a process that died
			t.Fatal(err)
		}
		name, err := nodeName(dir)
		if err != nil || name == "" || want != "" && name != want {
			t.Errorf("%q: %q %v", content, name, err)
		}
		if again, err := nodeName(dir); err != nil || again != name {
			t.Errorf("%q: %q %v", content, again, err)
		}
	}
}

func TestAFolderThatCannotBeUsedIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := nodeName(file); err == nil {
		t.Errorf("%q", name)
	}
	if err := os.MkdirAll(filepath.Join(file+"2", "node"), 0o700); err != nil {
		t.Fatal(err)
	}
	if name, err := nodeName(file + "2"); err == nil {
		t.Errorf("%q", name)
	}
}
