package encode

import "io"

// queue returns, in blocks of any size, the output of a decoder that has block sizes of its own. Silence is a count, not
// samples, so that a long gap costs no memory.
type queue struct {
	channels int
	silence  int64     // frames of silence to return before pcm
	pcm      []float32 // decoded, not yet returned; the decoder's own buffer
	skip     int64     // frames to drop first: the delay of the encoder
	limit    int64     // frames left until the end that the file declares, or -1
	err      error     // to return after all of that
}

// read implements Source.Read. It calls fill when the queue is empty. fill adds to silence, sets pcm, returns the error
// that ends the stream, or several of these.
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
			// The audio has ended, but the error that ends the stream must still be read.
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

// drop removes the frames that are to be skipped.
func (q *queue) drop() {
	n := min(q.skip, q.silence)
	q.silence -= n
	q.skip -= n
	n = min(q.skip, int64(len(q.pcm)/q.channels))
	q.pcm = q.pcm[int(n)*q.channels:]
	q.skip -= n
}
