package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"callscreen/encode"
)

// recordings lists the files that the arguments stand for, in their order. A directory stands for every file in it and
// below: the name of a file does not decide whether it holds audio. The readable files are returned together with an
// error for the others.
func recordings(args []string) (files []string, err error) {
	l := listing{seen: map[string]bool{}}
	for _, arg := range args {
		if arg == "-" {
			return nil, usagef("replay reads files, not its standard input (hint: save the recording to a file first)")
		}
		info, statErr := os.Stat(arg)
		switch {
		case statErr != nil:
			l.fail(fmt.Errorf("%s: %w (hint: check the path)", arg, cause(statErr)))
		case !info.IsDir():
			l.add(filepath.Clean(arg))
		default:
			n := len(l.files) + len(l.errs)
			l.walk(arg)
			if len(l.files)+len(l.errs) == n {
				l.fail(fmt.Errorf("%s: no recordings in this directory", arg))
			}
		}
	}
	return l.files, errors.Join(l.errs...)
}

// listing collects files, each of them once.
type listing struct {
	seen  map[string]bool
	files []string
	errs  []error
}

func (l *listing) add(file string) {
	if !l.seen[file] {
		l.seen[file] = true
		l.files = append(l.files, file)
	}
}

func (l *listing) fail(err error) { l.errs = append(l.errs, err) }

// walk adds the files of a directory. An unreadable directory below it is an error, and the others are still listed.
func (l *listing) walk(dir string) {
	walkErr := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		hidden := isHidden(dir, path)
		switch {
		case err != nil:
			l.fail(fmt.Errorf("%s: %w (hint: check the permissions)", path, cause(err)))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
		case hidden && !looksLikeAudio(path):
			// Desktop systems and version control leave such files everywhere.
		default:
			l.file(path)
		}
		return nil
	})
	if walkErr != nil {
		l.fail(fmt.Errorf("%s: %w", dir, walkErr))
	}
}

// isHidden reports whether a file, or a directory between dir and it, has a name that starts with a dot.
func isHidden(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	if err != nil || rel == "." {
		return false
	}
	for _, name := range strings.Split(filepath.ToSlash(rel), "/") {
		if strings.HasPrefix(name, ".") {
			return true
		}
	}
	return false
}

// file adds a file of a directory, or the file that a link points to.
func (l *listing) file(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.fail(fmt.Errorf("%s: %w", path, cause(err)))
	case info.IsDir():
		l.fail(fmt.Errorf("%s: is a link to a directory (hint: name the directory)", path))
	case !info.Mode().IsRegular():
		l.fail(fmt.Errorf("%s: is not a regular file", path))
	default:
		l.add(path)
	}
}

// looksLikeAudio reports whether a file starts like a recording.
func looksLikeAudio(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false // opening a pipe would wait for its writer
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, encode.FormatNameBytes)
	n, _ := io.ReadFull(f, head)
	return encode.FormatName(head[:n]) != ""
}

// cause drops the path, which the caller already shows.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// callIDs returns an id for each file: its name without extension, with a number appended if the name is in use. No two ids
// are equal, and none differs from another only by the case of its letters.
func callIDs(files []string) []string {
	names := make([]string, len(files))
	first := map[string]int{} // index of the file that has its name as it is
	for i, file := range files {
		base := filepath.Base(file)
		names[i] = strings.TrimSuffix(base, filepath.Ext(base))
		if _, ok := first[strings.ToLower(names[i])]; !ok {
			first[strings.ToLower(names[i])] = i
		}
	}
	count, used := map[string]int{}, map[string]bool{}
	ids := make([]string, len(files))
	for i, name := range names {
		key := strings.ToLower(name)
		if ids[i] = name; first[key] == i {
			continue
		}
		for taken := true; taken; {
			count[key] = max(count[key], 1) + 1
			ids[i] = fmt.Sprintf("%s-%d", name, count[key])
			_, natural := first[strings.ToLower(ids[i])]
			taken = natural || used[strings.ToLower(ids[i])]
		}
		used[strings.ToLower(ids[i])] = true
	}
	return ids
}
