package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// audioExtensions are the files taken from a directory. A file given by name may have any extension.
var audioExtensions = []string{
	".wav",
	".mp3",
	".ogg",
	".opus",
	".oga",
	".m4a",
	".mp4",
	".aac",
	".flac",
	".amr",
	".gsm",
	".g722",
	".au",
	".webm",
}

// recordings returns the files of the arguments, in order. It also returns the readable files with an error.
func recordings(args []string) (files []string, err error) {
	seen := map[string]bool{}
	add := func(file string) {
		if !seen[file] {
			seen[file] = true
			files = append(files, file)
		}
	}
	for _, arg := range args {
		info, statErr := os.Stat(arg)
		switch {
		case statErr != nil:
			err = errors.Join(err, fmt.Errorf("%s: %w (hint: check the path)", arg, cause(statErr)))
		case !info.IsDir():
			add(filepath.Clean(arg))
		default:
			n := len(files)
			walkErr := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case path != arg && strings.HasPrefix(d.Name(), "."):
					if d.IsDir() {
						return fs.SkipDir
					}
				case d.Type().IsRegular() && slices.Contains(audioExtensions, strings.ToLower(filepath.Ext(path))):
					add(path)
				}
				return nil
			})
			if walkErr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", arg, walkErr))
			} else if len(files) == n {
				err = errors.Join(
					err,
					fmt.Errorf(
						"%s: no recordings in this directory (hint: name a file directly if its extension is not %s)",
						arg,
						strings.Join(audioExtensions, " "),
					),
				)
			}
		}
	}
	return files, err
}

// cause drops the path, which the caller already shows.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// callID returns the file name without extension, with a number appended if two files share it.
func callID(files []string, i int) string {
	name := func(file string) string {
		base := filepath.Base(file)
		return strings.TrimSuffix(base, filepath.Ext(base))
	}
	id, before := name(files[i]), 0
	for _, f := range files[:i] {
		if name(f) == id {
			before++
		}
	}
	if before > 0 {
		return fmt.Sprintf("%s-%d", id, before+1)
	}
	return id
}
