package spool

// Free returns the free bytes on the disk of a directory.
func Free(dir string) (int64, error) { return free(dir) }
