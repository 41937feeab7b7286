package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"callscreen/internal/screen"
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
	if err := writeDurably(dir, "node", []byte(name+"\n")); err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	return name, nil
}

// leaveTime bounds the query that gives the name of the node back.
const leaveTime = 2 * time.Second

// join takes the name of this node in the database, until close.
func (a *App) join(ctx context.Context) error {
	home, err := origin(a.opt.Config.DataDir)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if err := a.store.Join(ctx, a.node, home); err != nil {
		return err
	}
	if !a.store.Shared() {
		return nil
	}
	a.lease = &screen.Lease{}
	a.onClose("name of the node", func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer cancel()
		if err := a.store.Leave(ctx); err != nil { // a restart takes it all the same
			a.opt.Log.Warn("giving back the name of the node failed", "node", a.node, "error", err)
		}
		return nil
	})
	return nil
}

// origin identifies a data_dir on a running machine: a copy of it, also in a copy of the machine, has another origin.
func origin(dir string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil { // not Linux
		boot = nil
	}
	info, err := os.Stat(filepath.Join(dir, "node"))
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return strings.Join([]string{host, path, fileID(info), strings.TrimSpace(string(boot))}, " "), nil
}

// fileID returns device and number of a file.
func fileID(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return ""
}

// writeDurably replaces a file of data_dir, so that a kill leaves the old or the new content.
func writeDurably(dir, name string, content []byte) error {
	temp := filepath.Join(dir, name+".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
