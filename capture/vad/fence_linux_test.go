package vad

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fence is memory between two pages that must not be touched.
type fence []byte

func newFence(t testing.TB, size int) fence {
	t.Helper()
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(all) })
	for _, guard := range [][]byte{all[:page], all[page+size:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return fence(all[page : page+size])
}

// fenced returns a copy of a slice that ends at the end of the memory, or begins at its start.
func fenced[T int32 | float32](f fence, end bool, values []T) []T {
	at := 0
	if end {
		at = len(f) - 4*len(values)
	}
	if len(values) == 0 {
		return nil
	}
	out := unsafe.Slice((*T)(unsafe.Pointer(&f[at])), len(values))
	copy(out, values)
	return out
}
