package encode

// trackRun reads a track at the rate of the whole file.
type trackRun struct {
	track
	channels   int // that are returned
	width      int // of the source
	resamplers []*Resampler
	silence    int64 // frames before the audio
	block      []float32
	mono       []float32
	queues     [][]float32 // of each channel
	total      int64       // frames returned
	ended      bool
	err        error
}

// trackBlock is the number of frames that are decoded in one step.
const trackBlock = 4096

func newTrackRun(t track, channels, rate int) *trackRun {
	f := t.src.Format()
	r := &trackRun{track: t, channels: channels, width: f.Channels, silence: int64(t.delay * float64(rate))}
	r.block = make([]float32, trackBlock*f.Channels)
	r.queues = make([][]float32, channels)
	for range channels {
		rs, err := NewResampler(f.Rate, rate)
		if err != nil {
			r.err, r.ended = err, true
			return r
		}
		r.resamplers = append(r.resamplers, rs)
	}
	return r
}

// have returns the number of frames that can be taken.
func (r *trackRun) have() int {
	if r.silence > 0 {
		return int(min(r.silence, trackBlock))
	}
	return len(r.queues[0])
}

// fill decodes until there is a frame or the track has ended.
func (r *trackRun) fill() {
	for !r.ended && r.have() == 0 {
		n, err := r.src.Read(r.block)
		for ch := range r.queues {
			r.mono = Deinterleave(r.mono[:0], r.block[:n], r.width, ch)
			r.queues[ch] = r.resamplers[ch].Process(r.queues[ch], r.mono)
		}
		if err == nil {
			continue
		}
		r.err, r.ended = err, true
		for ch := range r.queues {
			r.queues[ch] = r.resamplers[ch].Flush(r.queues[ch])
		}
	}
}

// take writes up to n frames to the channels of dst from offset on. dst is zero where the track has ended.
func (r *trackRun) take(dst []float32, n, channels, offset int) {
	if r.silence == 0 {
		n = min(n, len(r.queues[0]))
		for ch, q := range r.queues {
			for i, x := range q[:n] {
				dst[i*channels+offset+ch] = x
			}
		}
	}
	r.drop(n)
}

// drop removes up to n frames.
func (r *trackRun) drop(n int) {
	if r.silence > 0 {
		r.silence -= int64(n)
		return
	}
	n = min(n, len(r.queues[0]))
	r.total += int64(n)
	for ch, q := range r.queues {
		r.queues[ch] = q[:copy(q, q[n:])]
	}
}

// damage returns the damage of the track in frames of the given rate.
func (r *trackRun) damage(rate int) Damage {
	d := DamageOf(r.src)
	d.Lost = d.Lost * int64(rate) / int64(r.src.Format().Rate)
	return d
}
