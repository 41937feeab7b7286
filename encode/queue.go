package encode

import "io"

// queue hands out, in blocks of any size, what a decoder makes in blocks of its own. Silence is a count, not samples, so
// that a long gap costs no memory.
type queue struct {
	channels int
	silence  int64     // frames to hand out before pcm
	pcm      []float32 // decoded, not yet handed out; the decoder's own buffer
	skip     int64     // frames to drop first: what an encoder put before the audio
	limit    int64     // frames left until the end that the file declares; -1 if it declares none
	err      error     // what comes after all that
}

// read implements Source.Read on top of fill, which is called when nothing is left, and adds to silence, then sets pcm,
// or returns the error that ends the stream. It may do both.
func (q *queue) read(dst []float32, fill func() error) (int, error) {
	if len(dst) < q.channels {
		return 0, io.ErrShortBuffer
	}
	for {
		q.drop()
		frames := int64(len(dst) / q.channels)
		if q.limit >= 0 {
			frames = min(frames, q.limit)
		}
		var n int
		switch {
		case frames == 0:
			// The audio is over, but what ends it must still be seen.
			q.silence, q.pcm = 0, nil
			if q.err == nil {
				q.err = fill()
				continue
			}
			return 0, q.err
		case q.silence > 0:
			frames = min(frames, q.silence)
			q.silence -= frames
			n = int(frames) * q.channels
			clear(dst[:n])
		case len(q.pcm) > 0:
			n = copy(dst[:int(frames)*q.channels], q.pcm)
			q.pcm = q.pcm[n:]
			frames = int64(n / q.channels)
		case q.err != nil:
			return 0, q.err
		default:
			q.err = fill()
			continue
		}
		if q.limit >= 0 {
			q.limit -= frames
		}
		return n, nil
	}
}

// drop takes away what is to be skipped.
func (q *queue) drop() {
	n := min(q.skip, q.silence)
	q.silence -= n
	q.skip -= n
	n = min(q.skip, int64(len(q.pcm)/q.channels))
	q.pcm = q.pcm[int(n)*q.channels:]
	q.skip -= n
}
