package review

import (
	"context"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

const (
	fewestPoints = 10
	usualPoints  = 1000
	mostPoints   = 4000
	// peakReading limits the audio that one request reads. A client repeats the request for the rest of a longer call.
	peakReading = 64 << 20
)

// waveform holds the loudness of the legs of a call. Missing audio is -1, unlike silence, which is 0.
type waveform struct {
	Call     string         `json:"call"`
	Duration report.Seconds `json:"duration_seconds"`
	Points   int            `json:"points"`
	Complete bool           `json:"complete"` // false: repeat the request for the rest
	Legs     []legWaveform  `json:"legs"`
}

type legWaveform struct {
	Leg   string `json:"leg"`
	Peaks []int  `json:"peaks"` // 0 to 255, or -1 without audio
}

// drawing limits the reading of audio for waveforms to one request at a time, so that live calls are not affected.
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
			return bad("points must be a number from " + strconv.Itoa(fewestPoints) + " to " + strconv.Itoa(mostPoints))
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
			switch peaks, err = readPeaks(ctx, s.cfg.Audio, g); {
			case errors.Is(err, audio.ErrTampered): // drawn as missing
				s.tampered(g, err)
			case err != nil:
				return err
			}
			s.peaks.put(g.ID, peaks)
		}
		for _, p := range placesOf(g, shift(report.StartedAt, g.PartKey)) {
			draw(legs[g.Leg], peaksOf(peaks, p), p.from.Seconds(), time.Duration(v.Duration).Seconds())
		}
	}
	for _, leg := range slices.Sorted(maps.Keys(legs)) {
		v.Legs = append(v.Legs, legWaveform{leg, legs[leg]})
	}
	return answer(w, v)
}

// peaksOf returns the peaks of a place of a segment.
func peaksOf(peaks []uint8, p place) []uint8 {
	first := min(int(p.at.Seconds()*peakRate), len(peaks))
	end := min(first+int(math.Ceil((p.to-p.from).Seconds()*peakRate)), len(peaks))
	return peaks[first:end]
}

// draw adds the peaks of a stretch to the points of its leg.
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

// span returns the length of the time axis of a call. It includes segments after the known end, and unread audio.
func span(r report.CallReport) report.Seconds {
	end := r.Duration
	for _, g := range r.Segments {
		end = max(end, endOf(g))
	}
	for _, l := range r.Legs {
		end = max(end, lengthOf(l))
	}
	return end
}

// shift returns the time between the start of the call and the start of a part.
func shift(started time.Time, k store.PartKey) time.Duration {
	return time.UnixMilli(k.Part).Sub(started)
}
