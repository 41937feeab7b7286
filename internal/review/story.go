package review

import (
	"context"
	"fmt"
	"strings"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// storyLine is one event of a call, as text.
type storyLine struct {
	At   time.Time
	Who  string
	What string
	Note string // note of a reviewer, verbatim
}

// story returns the history of a call as text: decisions and reviews, and separately the events of segments.
func (s *Server) story(ctx context.Context, call string) (story, rest []storyLine, err error) {
	lines, err := s.cfg.Store.AuditOf(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	said, err := s.cfg.Store.DispositionsOf(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	notes := map[string]string{}
	for _, d := range said {
		notes[fmt.Sprint(d.Version)] = d.Note
	}
	for _, l := range lines {
		v := storyLine{At: l.At, Who: l.Actor, What: lineWords(l)}
		if l.What == store.AuditReview {
			v.Note = notes[fmt.Sprint(l.Detail["version"])]
		}
		if l.Segment != "" {
			rest = append(rest, v)
			continue
		}
		story = append(story, v)
	}
	if more := len(rest) - mostLines; more > 0 {
		rest = append(
			rest[:mostLines],
			storyLine{At: rest[mostLines].At, Who: "machine", What: fmt.Sprintf("%d more events, see the API (/history)", more)},
		)
	}
	return story, rest, nil
}

// mostLines is the maximum number of segment events on a page.
const mostLines = 500

// text returns a value of the detail of an audit line; a number in its original form.
func text(l store.Line, key string) string {
	switch v := l.Detail[key].(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return fmt.Sprintf("%.4g", v)
	default:
		return fmt.Sprint(v)
	}
}

// lineWords describes an audit line.
func lineWords(l store.Line) string {
	switch l.What {
	case store.AuditDecided:
		return decidedWords(l)
	case store.AuditReview:
		return reviewedWords(l)
	case store.AuditScored:
		return "scored a segment " + scoreOf(l)
	case store.AuditFailed:
		return "analysis of a segment failed: " + inWords(text(l, "reason"))
	case store.AuditSkipped:
		return "skipped a segment: " + inWords(text(l, "reason"))
	case store.AuditResent:
		return "sent a segment again, because the outcome of the first upload was unknown"
	case store.AuditHeld:
		return "does not send a segment again: the outcome of its upload is unknown, and it may have been charged"
	case store.AuditResendOrdered:
		return "ordered that a segment is sent once more, although it may have been charged"
	case store.AuditSurplus:
		return "found that a segment was analysed twice, and charged twice"
	case store.AuditShared:
		return "found that the API gave one job to this segment and to another one, so that its result may be of either"
	case store.AuditRecovered:
		return "stored a segment again that the database had lost, and may have charged it twice"
	case store.AuditCleaned:
		return "sent a segment again, as a cleaned copy"
	case store.AuditResumed:
		if n, ok := l.Detail["number"].(float64); ok && n > 1 {
			return "recorded more after the end: now the " + ordinal(int(n)) + " call with this id"
		}
		return "reopened the call, because more was recorded after the decision"
	case store.AuditLegPaused:
		return "paused the recording of " + text(l, "leg")
	case store.AuditLegResumed:
		return "resumed the recording of " + text(l, "leg") + discarded(l)
	case store.AuditLegStopped:
		return "stopped the recording of " + text(l, "leg")
	case store.AuditExpired:
		return "deleted the audio, as configured by retention"
	case store.AuditErased:
		return "erased the call: " + text(l, "why")
	case store.AuditListened:
		return "listened to a segment"
	case store.AuditReplayed:
		return "sent a webhook message again to " + text(l, "endpoint")
	}
	return l.What
}

// discarded returns how much of a leg was discarded by its pauses so far.
func discarded(l store.Line) string {
	if f, ok := l.Detail["discarded_seconds"].(float64); ok && f > 0 {
		return ", " + secondsText(report.Seconds(f*float64(time.Second))) + " were discarded"
	}
	return ""
}

func scoreOf(l store.Line) string {
	if f, ok := l.Detail["score"].(float64); ok {
		return scoreText(&f)
	}
	return "without a score"
}

func decidedWords(l store.Line) string {
	words := "decided: " + text(l, "decision")
	switch before := text(l, "previous"); before {
	case "":
	case text(l, "decision"):
		words = "decided again: " + before
	default:
		words += ", previously " + before
	}
	if f, ok := l.Detail["score"].(float64); ok {
		words += fmt.Sprintf(", score %s, threshold %v", scoreText(&f), l.Detail["threshold"])
	}
	var reasons []string
	if list, ok := l.Detail["reasons"].([]any); ok {
		for _, r := range list {
			reasons = append(reasons, fmt.Sprint(r))
		}
	}
	if why := whyInWords(reasons); len(why) > 0 {
		words += " (" + strings.Join(why, "; ") + ")"
	}
	return words
}

func reviewedWords(l store.Line) string {
	switch text(l, "action") {
	case store.ReviewClaim:
		return "claimed the call"
	case store.ReviewRelease:
		if from := text(l, "claimed_by"); from != "" {
			return "released the claim of " + from
		}
		return "released the call"
	}
	said := dispositionWords[text(l, "disposition")]
	if was := text(l, "corrects"); was != "" {
		return "corrected the decision from " + dispositionWords[was] + " to " + said
	}
	return "decided: " + said
}
