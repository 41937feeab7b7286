package encode

import (
	"errors"
	"io"
)

// window is a buffered view of a reader from which a parser takes bytes in order. total counts the bytes that the reader
// gave, and is independent of how the parser books them.
type window struct {
	r     io.Reader
	buf   []byte
	at    int   // start of the unread bytes in buf
	end   int   // their end
	err   error // of r
	total int64
}

func newWindow(r io.Reader, size int) window { return window{r: r, buf: make([]byte, size)} }

// have makes n bytes available. It returns false if the file has fewer.
func (w *window) have(n int) bool {
	if w.end-w.at >= n {
		return true
	}
	w.end = copy(w.buf, w.buf[w.at:w.end])
	w.at = 0
	empty := 0
	for w.end < n && w.err == nil {
		var k int
		k, w.err = w.r.Read(w.buf[w.end:])
		w.end += k
		w.total += int64(k)
		if k > 0 {
			empty = 0
		} else if empty++; empty == 100 && w.err == nil {
			w.err = io.ErrNoProgress
		}
	}
	return w.end >= n
}

// bytes returns the bytes that are available. They are valid until the next call of have.
func (w *window) bytes() []byte { return w.buf[w.at:w.end] }

// offset returns the position of the next byte in the file.
func (w *window) offset() int64 { return w.total - int64(w.end-w.at) }

// skip takes n bytes, calling look with each block of them unless it is nil. It returns the number of bytes taken, which
// is less than n only at the end of the file.
func (w *window) skip(n int64, look func([]byte)) int64 {
	left := n
	for left > 0 {
		if !w.have(1) {
			break
		}
		b := w.bytes()
		b = b[:min(int64(len(b)), left)]
		if look != nil {
			look(b)
		}
		w.at += len(b)
		left -= int64(len(b))
	}
	return n - left
}

// failure returns the error of the reader, or nil at the end of the file.
func (w *window) failure() error {
	if w.err != nil && !errors.Is(w.err, io.EOF) {
		return w.err
	}
	return nil
}
