package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// nodeName is the name of this node among those that share a database. It stays with the folder, because the spool does:
// whoever starts on it again is the same node.
func nodeName(dir string) (string, error) {
	path := filepath.Join(dir, "node")
	data, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(data)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	name := "node-" + strings.ToLower(rand.Text()[:12])
	temp := path + ".tmp"
	if err := os.WriteFile(temp, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	return name, nil
}
