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

// nodeName returns the name of this node among those that share a database. It is kept in the data folder, like the
// spool, and names the same node after a restart.
func nodeName(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "node"))
	if name := strings.TrimSpace(string(data)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	name := "node-" + strings.ToLower(rand.Text()[:12])
	if err := writeNode(dir, name); err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	return name, nil
}

// writeNode makes the name durable before anything is recorded under it.
func writeNode(dir, name string) error {
	temp := filepath.Join(dir, "node.tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(name + "\n"); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, "node")); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
