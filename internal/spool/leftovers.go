package spool

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// unfinishedFor is the age from which a file without its other half is not being written any more.
	unfinishedFor = time.Hour
	// examined is the number of documents that Leftovers reads. A long outage can leave very many, which are fine.
	examined = 1000
)

// Leftovers returns the files of a spool that no entry has: audio that was moved aside, unreadable documents with their
// audio, and files of other programs. They are paths below dir, sorted. Nothing deletes them by itself: they may be evidence.
// understood reports whether a document makes sense.
func Leftovers(dir string, understood func(id string, document []byte) bool) (names []string, err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, f := range files {
		there[f.Name()] = true
	}
	read := 0
	for _, f := range files {
		name := f.Name()
		id, suffix := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // delivered meanwhile
		}
		if err != nil {
			return nil, err
		}
		old := time.Since(info.ModTime()).Abs() > unfinishedFor
		switch {
		case f.IsDir() || suffix == tempSuffix && !old:
		case suffix == tempSuffix || !valid(id) || suffix != metaSuffix && suffix != audioSuffix:
			names = append(names, name)
		case suffix == audioSuffix && !there[id+metaSuffix] && old:
			names = append(names, name)
		case suffix == metaSuffix && read < examined:
			read++
			data, err := root.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if json.Valid(data) && understood(id, data) {
				continue
			}
			names = append(names, name)
			if there[id+audioSuffix] {
				names = append(names, id+audioSuffix)
			}
		}
	}
	aside, err := fs.ReadDir(root.FS(), orphans)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range aside {
		names = append(names, path.Join(orphans, f.Name()))
	}
	slices.Sort(names)
	return names, nil
}

// Leftovers returns the files of the spool that no entry has, see the function of this name.
func (s *Spool) Leftovers(understood func(id string, document []byte) bool) ([]string, error) {
	return Leftovers(s.dir, understood)
}

// ReadLeftover returns the content of a document that Leftovers has listed.
func (s *Spool) ReadLeftover(name string) ([]byte, error) { return s.root.ReadFile(name) }

// RemoveLeftover deletes a file that Leftovers has listed. A missing file is not an error.
func (s *Spool) RemoveLeftover(name string) error {
	if err := s.delete(filepath.FromSlash(name)); err != nil {
		return err
	}
	id := strings.TrimSuffix(name, path.Ext(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[id]; ok && path.Ext(name) == metaSuffix {
		s.bytes -= e.Bytes
		delete(s.entries, id)
	}
	return nil
}
