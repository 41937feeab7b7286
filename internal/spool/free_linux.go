package spool

import (
	"errors"
	"fmt"
	"syscall"
)

// free returns the bytes available to an unprivileged process.
func free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil //nolint:gosec // no disk has 2^63 blocks
}

// noSpace wraps the error of a full disk in ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w (hint: free space on the disk of data_dir)", ErrNoSpace, err)
	}
	return err
}
