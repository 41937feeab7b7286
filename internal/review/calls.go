package review

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/auth"
	"callscreen/internal/problem"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// callPage is one page of the list of calls.
type callPage struct {
	Calls      []callReport `json:"calls"`
	NextCursor string       `json:"next_cursor"`
}

// callReport is the report of a call with the state of its review.
type callReport struct {
	report.CallReport
	Review *reviewReport `json:"review"` // nil without a review; hides the bool of the same name
}

// reviewed adds the reviews to reports.
func (s *Server) reviewed(ctx context.Context, calls ...report.CallReport) ([]callReport, error) {
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.Call
	}
	found, err := s.cfg.Store.Reviews(ctx, ids...)
	if err != nil {
		return nil, err
	}
	list := make([]callReport, len(calls))
	for i, c := range calls {
		list[i].CallReport = c
		if r, ok := found[c.Call]; ok {
			list[i].Review = reportReview(r, s.cfg.Now())
		}
	}
	return list, nil
}

const pageSize = 100

// filter parses the query of a list.
func filter(r *http.Request) (f store.Filter, err error) {
	q := r.URL.Query()
	f = store.Filter{
		Decision: q.Get("decision"),
		State:    q.Get("state"),
		Review:   q.Get("review"),
		Query:    q.Get("q"),
		Limit:    pageSize,
	}
	if f.Decision != "" && !slices.Contains([]string{"flagged", "clear", "inconclusive"}, f.Decision) {
		return f, bad("decision must be flagged, clear or inconclusive")
	}
	if f.State != "" && f.State != store.CallLive && f.State != store.CallEnded {
		return f, bad("state must be live or ended")
	}
	if f.Review != "" && f.Review != store.ReviewWaiting && f.Review != store.ReviewClosed {
		return f, bad("review must be waiting or closed")
	}
	if len(f.Query) > 200 {
		return f, bad("q must have at most 200 bytes")
	}
	if text := q.Get("cursor"); text != "" {
		data, err := base64.RawURLEncoding.DecodeString(text)
		f.Before = &store.Cursor{}
		if err != nil || json.Unmarshal(data, f.Before) != nil || !problem.ValidText(f.Before.ID) {
			return f, bad("cursor is not a cursor of this server")
		}
	}
	return f, nil
}

func cursor(c *store.Cursor) string {
	if c == nil {
		return ""
	}
	data, err := json.Marshal(c)
	if err != nil {
		return "" // plain fields always encode
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	f, err := filter(r)
	if err != nil {
		return err
	}
	list, next, err := s.cfg.Decider.Reports(r.Context(), f)
	if err != nil {
		return err
	}
	calls, err := s.reviewed(r.Context(), list...)
	if err != nil {
		return err
	}
	return answer(w, callPage{Calls: calls, NextCursor: cursor(next)})
}

func (s *Server) call(w http.ResponseWriter, r *http.Request) error {
	report, err := s.Report(r.Context(), r.PathValue("call"))
	if err != nil {
		return err
	}
	return s.answerCall(w, r, report)
}

func (s *Server) answerCall(w http.ResponseWriter, r *http.Request, report report.CallReport) error {
	calls, err := s.reviewed(r.Context(), report)
	if err != nil {
		return err
	}
	return answer(w, calls[0])
}

// longestWait is shorter than the usual timeout of proxies.
const longestWait = 55 * time.Second

// decision waits until a call is decided, for an IVR that holds the call meanwhile.
func (s *Server) decision(w http.ResponseWriter, r *http.Request) error {
	wait := time.Duration(0)
	if text := r.URL.Query().Get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 {
			return bad("wait must be a duration such as 15s")
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, longestWait))
	defer cancel()
	report, err := s.Wait(ctx, r.PathValue("call"), func(l report.CallReport) bool { return l.Final })
	if err != nil {
		return err
	}
	return s.answerCall(w, r, report)
}

// erase removes all data of a call on request of the person concerned, and audits the reason.
func (s *Server) erase(w http.ResponseWriter, r *http.Request) error {
	why := r.URL.Query().Get("reason")
	if why == "" || len(why) > 200 {
		return bad("reason is required, at most 200 bytes; it stays in the audit, so it should contain no personal data")
	}
	if err := s.cfg.Erase(r.Context(), r.PathValue("call"), auth.Actor(r.Context()), why); err != nil {
		return err
	}
	s.cfg.Log.Info("call erased", "call", r.PathValue("call"), "by", auth.Actor(r.Context()))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// resend has a segment sent once more that waits for a person.
func (s *Server) resend(w http.ResponseWriter, r *http.Request) error {
	err := s.cfg.Decider.Resend(r.Context(), r.PathValue("id"), auth.Actor(r.Context()))
	if errors.Is(err, store.ErrNotFound) {
		return refuse(http.StatusNotFound, "no such segment waits for a person")
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// audio serves the audio of a segment. Ranges are supported.
func (s *Server) audio(w http.ResponseWriter, r *http.Request) error {
	g, err := s.cfg.Store.Segment(r.Context(), r.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) {
		return refuse(http.StatusNotFound, "no such segment")
	}
	if err != nil {
		return err
	}
	if g.AudioKey == "" {
		return refuse(http.StatusGone, "the audio of this segment was deleted or never stored")
	}
	if g.AudioNode != "" && g.AudioNode != s.cfg.Node {
		return refuse(
			http.StatusNotFound,
			"only node "+g.AudioNode+" has the audio of this segment (hint: set the key audio to a store that all nodes share)",
		)
	}
	data, err := audio.Read(r.Context(), s.cfg.Audio, audio.Evidence{Key: g.AudioKey, SHA256: g.AudioSHA256, Bytes: g.AudioBytes})
	switch {
	case errors.Is(err, audio.ErrNotFound):
		return refuse(http.StatusGone, "the audio of this segment is missing in the audio store")
	case errors.Is(err, audio.ErrTampered):
		s.tampered(g, err)
		return refuse(http.StatusConflict, "the stored audio of this segment was changed or exchanged, and is not played")
	case err != nil:
		return err
	}
	if err := s.listened(r.Context(), g); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "audio/wav")
	w.Header().Set("Cache-Control", "private, no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", g.RecordedAt, bytes.NewReader(data))
	return nil
}

// tampered counts and logs stored audio that is not that of its segment.
func (s *Server) tampered(g store.SegmentRow, err error) {
	s.refused.Add(1)
	s.cfg.Log.Error("stored audio refused", "call", g.Call, "segment", g.ID, "error", err)
}

// Refused returns the number of times that stored audio was refused because it is not that of its segment.
func (s *Server) Refused() int64 { return s.refused.Load() }
