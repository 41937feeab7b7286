package review

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

const (
	fewestPoints = 10
	usualPoints  = 1000
	mostPoints   = 4000
	// peakReading bounds the audio that one request reads. Who asks for the waveform of a longer call asks again, and gets
	// more each time.
	peakReading = 64 << 20
)

// waveform is how loud the legs of a call are, for a drawing. Silence that was not kept is -1, not 0.
type waveform struct {
	Call     string         `json:"call"`
	Duration report.Seconds `json:"duration_seconds"`
	Points   int            `json:"points"`
	Complete bool           `json:"complete"` // if not, there is more to be had by asking again
	Legs     []legWaveform  `json:"legs"`
}

type legWaveform struct {
	Leg   string `json:"leg"`
	Peaks []int  `json:"peaks"` // 0 to 255, or -1 where there is no audio
}

// drawing keeps the reading of audio for waveforms to one at a time: it must not get into the way of what is live.
type drawing chan struct{}

func (d drawing) begin(ctx context.Context) error {
	select {
	case d <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d drawing) end() { <-d }

func (s *Server) waveform(w http.ResponseWriter, r *http.Request) error {
	points := usualPoints
	if text := r.URL.Query().Get("points"); text != "" {
		var err error
		if points, err = strconv.Atoi(text); err != nil || points < fewestPoints || points > mostPoints {
			return bad("points is a number from " + strconv.Itoa(fewestPoints) + " to " + strconv.Itoa(mostPoints))
		}
	}
	ctx := r.Context()
	report, err := s.Report(ctx, r.PathValue("call"))
	if err != nil {
		return err
	}
	segments, err := s.cfg.Store.Segments(ctx, report.Call)
	if err != nil {
		return err
	}
	if err := s.drawing.begin(ctx); err != nil {
		return err
	}
	defer s.drawing.end()
	v := waveform{Call: report.Call, Duration: span(report), Points: points, Complete: true}
	legs := map[string][]int{}
	for _, l := range report.Legs {
		legs[l.Leg] = slices.Repeat([]int{-1}, points)
	}
	left := int64(peakReading)
	for _, g := range segments {
		if legs[g.Leg] == nil || g.AudioKey == "" {
			continue
		}
		peaks, known := s.peaks.get(g.ID)
		if !known {
			if left -= g.AudioBytes; left < 0 {
				v.Complete = false
				continue
			}
			if peaks, err = readPeaks(ctx, s.cfg.Audio, g); err != nil {
				return err
			}
			s.peaks.put(g.ID, peaks)
		}
		from := shift(report.StartedAt, g.PartKey) + g.Offset
		draw(legs[g.Leg], peaks, from.Seconds(), time.Duration(v.Duration).Seconds())
	}
	for _, leg := range slices.Sorted(maps.Keys(legs)) {
		v.Legs = append(v.Legs, legWaveform{leg, legs[leg]})
	}
	return answer(w, v)
}

// draw puts the peaks of a segment into the points of its leg.
func draw(points []int, peaks []uint8, from, duration float64) {
	if duration <= 0 {
		return
	}
	scale := float64(len(points)) / duration
	for i, p := range peaks {
		first, end := (from+float64(i)/peakRate)*scale, (from+float64(i+1)/peakRate)*scale
		for at := max(int(first), 0); at < len(points) && (float64(at) < end-1e-9 || at == int(first)); at++ {
			points[at] = max(points[at], int(p))
		}
	}
}

// span is how long a call is on the time axis: what came later than the end that is known belongs to it too.
func span(r report.CallReport) report.Seconds {
	end := r.Duration
	for _, g := range r.Segments {
		end = max(end, g.Offset+g.Duration)
	}
	return end
}

// shift is how much later than its call the part of a segment began.
func shift(started time.Time, k store.PartKey) time.Duration {
	return time.UnixMilli(k.Part).Sub(started)
}
