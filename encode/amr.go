package encode

import (
	"bytes"
	"io"
)

// amrFrames are the bytes behind the head of a frame of AMR and AMR-WB, by its type (RFC 4867, section 3.6), or -1 for a type that is not
// in use. AMR-WB has a type for lost speech.
var amrFrames = map[string][16]int{
	"#!AMR\n":    {12, 13, 15, 17, 19, 20, 26, 31, 5, 6, 5, 5, -1, -1, -1, 0},
	"#!AMR-WB\n": {17, 23, 32, 36, 40, 46, 50, 58, 60, 5, -1, -1, -1, -1, 0, 0},
}

// amrUse counts frames of an AMR file.
type amrUse struct {
	pauses int64 // frames without speech: descriptions of noise, and frames that were not sent (RFC 4867, section 4.3.2)
	bad    int64 // frames whose head is none, or is that of a damaged frame
}

// amrFramesOf walks the frames of an AMR file. ffmpeg takes pauses for errors, and decodes whatever has the length of a frame.
func amrFramesOf(r io.ReaderAt, off, end int64) (use amrUse) {
	for magic, sizes := range amrFrames {
		w := newWindow(io.NewSectionReader(r, off, end-off), 64<<10)
		if !w.have(len(magic)) || !bytes.HasPrefix(w.bytes(), []byte(magic)) {
			continue
		}
		noise := byte(8)
		if magic != "#!AMR\n" {
			noise = 9
		}
		var damaged, good int64 // speech, by the quality bit, which some writers never set
		for w.at += len(magic); w.have(1); {
			head := w.bytes()[0]
			kind := head >> 3 & 15
			size := 1 + sizes[kind]
			if size > 0 && !w.have(size) {
				break
			}
			switch {
			case head&0x83 != 0 || size == 0: // with padding that is none, or of no type
				use.bad++
				size = max(size, 1)
			case kind < noise && head&4 == 0:
				damaged++
			case kind < noise:
				good++
			case kind == noise || kind == 15:
				use.pauses++
			}
			w.at += size
		}
		if good > 0 {
			use.bad += damaged
		}
	}
	return use
}
