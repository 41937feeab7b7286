package review

import (
	"net/http"
	"time"

	"callscreen/internal/store"
)

// history is the audit log of a call, with its decisions and dispositions.
type history struct {
	Call         string           `json:"call"`
	Audit        []store.Line     `json:"audit"`
	Decisions    []decisionReport `json:"decisions"`
	Dispositions []dispositionOf  `json:"dispositions"`
}

type decisionReport struct {
	Seq       int       `json:"seq"`
	At        time.Time `json:"at"`
	Decision  string    `json:"decision"`
	Score     *float64  `json:"score"`
	Threshold float64   `json:"threshold"`
	Reasons   []string  `json:"reasons"`
	Policy    int64     `json:"policy_version"`
	Previous  string    `json:"previous,omitempty"`
}

type dispositionOf struct {
	Version     int       `json:"version"`
	At          time.Time `json:"at"`
	Who         string    `json:"who"`
	Disposition string    `json:"disposition"`
	Note        string    `json:"note"`
}

// history returns the history of a call. Of an erased call only the audit is left, which has no personal data.
func (s *Server) history(w http.ResponseWriter, r *http.Request) error {
	ctx, call := r.Context(), r.PathValue("call")
	h := history{Call: call, Decisions: []decisionReport{}, Dispositions: []dispositionOf{}}
	var err error
	if h.Audit, err = s.cfg.Store.AuditOf(ctx, call); err != nil {
		return err
	}
	if len(h.Audit) == 0 {
		h.Audit = []store.Line{}
		if _, err := s.Report(ctx, call); err != nil {
			return err
		}
	}
	decisions, err := s.cfg.Store.DecisionsOf(ctx, call)
	if err != nil {
		return err
	}
	for _, d := range decisions {
		h.Decisions = append(h.Decisions, decisionReport{d.Seq, d.At, d.Outcome, d.Score, d.Threshold, d.Reasons, d.PolicyVersion, d.Previous})
	}
	said, err := s.cfg.Store.DispositionsOf(ctx, call)
	if err != nil {
		return err
	}
	for _, d := range said {
		h.Dispositions = append(h.Dispositions, dispositionOf(d))
	}
	return answer(w, h)
}
