package spool

// Free is the space that is left on the disk of a folder, in bytes.
func Free(dir string) (int64, error) { return free(dir) }
