package review

import (
	"context"
	"fmt"
	"strings"
	"time"

	"callscreen/internal/store"
)

// storyLine is something that happened to a call, in words.
type storyLine struct {
	At   time.Time
	Who  string
	What string
	Note string // of a person, verbatim
}

// story tells who did what: the decisions and the people, and by itself what the machine did with each segment.
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
			storyLine{At: rest[mostLines].At, Who: "machine", What: fmt.Sprintf("did %d things more, which the API lists (/history)", more)},
		)
	}
	return story, rest, nil
}

// mostLines is how many lines about segments a page shows.
const mostLines = 500

// text is a value of the detail of a line; a number as it is written.
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

// lineWords says what a line of the audit means.
func lineWords(l store.Line) string {
	switch l.What {
	case store.AuditDecided:
		return decidedWords(l)
	case store.AuditReview:
		return reviewedWords(l)
	case store.AuditScored:
		return "scored a segment " + scoreOf(l)
	case store.AuditFailed:
		return "could not have a segment analysed: " + inWords(text(l, "reason"))
	case store.AuditSkipped:
		return "did not have a segment analysed: " + inWords(text(l, "reason"))
	case store.AuditResent:
		return "sent a segment once more, because it was not known whether the first upload had arrived"
	case store.AuditSurplus:
		return "found that a segment had been analysed, and paid for, twice"
	case store.AuditCleaned:
		return "sent a segment once more, in a cleaner copy"
	case store.AuditResumed:
		return "found that more was recorded after the decision"
	case store.AuditExpired:
		return "deleted the audio, as the retention says"
	case store.AuditErased:
		return "erased the call: " + text(l, "why")
	case store.AuditReplayed:
		return "sent a webhook message again to " + text(l, "endpoint")
	}
	return l.What
}

func scoreOf(l store.Line) string {
	if f, ok := l.Detail["score"].(float64); ok {
		return scoreText(&f)
	}
	return "without a score"
}

func decidedWords(l store.Line) string {
	words := "decided: " + text(l, "decision")
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
		return "took the call"
	case store.ReviewRelease:
		if from := text(l, "claimed_by"); from != "" {
			return "took the call from " + from + " and left it to others"
		}
		return "left the call to others"
	}
	said := dispositionWords[text(l, "disposition")]
	if was := text(l, "corrects"); was != "" {
		return "corrected the decision from " + dispositionWords[was] + " to " + said
	}
	return "decided: " + said
}
