package review

import (
	"fmt"
	"math"
	"strings"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
	"callscreen/policy"
)

// reasonWords are the texts of machine-readable reasons. An unknown reason is shown as it is.
var reasonWords = map[string]string{
	"score_over_threshold":   "a score is over the threshold",
	"scores_below_threshold": "all scores are below the threshold",
	"suspicious":             "a score was suspicious, and no later score was low enough",
	"too_little_speech":      "too little speech",
	"too_little_coverage":    "too little of the speech was analysed",
	"analysis_pending":       "the analysis is not finished",
	"analysis_failed":        "the analysis failed",
	"unscreened_allowed":     "not everything was analysed, and the policy accepts that",
	"unauthorized":           "the analysis API rejects the key",
	"no_credit":              "the account at the analysis API has no credit",
	"rejected":               "the analysis API rejects the audio",
	"too_large":              "the audio is too large for the analysis API",
	"job_not_found":          "the analysis API does not know the job",
	"job_failed":             "the analysis ended without a result",
	"invalid_answer":         "the answer of the analysis API was invalid",
	"invalid_score":          "the analysis API returned no valid score",
	"timeout":                "the analysis was not finished in time",
	"rate_limited":           "too many requests to the analysis API",
	"unavailable":            "the analysis API was not available",
	"network":                "the analysis API could not be reached",
	"in_doubt":               "the outcome of an upload is unknown",
	"unreadable":             "reading the audio failed",
	"storage":                "storing the audio failed",
	"tampered":               "the stored audio was changed or exchanged",
	"canceled":               "it was interrupted",
	"too_quiet":              "too quiet to analyse",
	"tone":                   "tones, such as ring-back",
	"music":                  "music, as on hold",
	"noise":                  "noise",
	"sampled":                "sampled: enough speech of this leg was analysed",

	// of a decision, from the ledger
	"missing_leg":     "a required leg is missing",
	"no_audio":        "no audio of the leg arrived",
	"only_noise":      "only noise, no speech: the audio may be encrypted or broken",
	"too_much_lost":   "too much was lost on the network",
	"paused_too_long": "paused for too long",
	"interrupted":     "the connection or the recording broke off",
	"node_lost":       "the recording node stopped responding",
	"earlier_call":    "an earlier call with this id is not reviewed",

	// of audio that arrived and was not recorded
	"leg_busy":     "another sender was recorded as this leg",
	"unknown_ssrc": "stray packets of another stream",
	"codec":        "a codec that was not negotiated or could not be decoded",
	"malformed":    "malformed packets",
	"other_source": "from another address than the sender's",
	"overlap":      "sent while a newer stream of the leg was recorded",
	"late":         "arrived too late",
	"backlog":      "storing was too slow",
	"disk":         "the disk was full or failed",

	// of audio that is missing in a recorded leg
	"lost":   "lost on the network",
	"paused": "paused",
	"absent": "no sender",

	// of audio in a file that was not read
	"behind_stated_size": "behind the end that the header of the file states",
	"further_part":       "in a further part of the file",
	"further_track":      "in a further track of the file",
	"reader_gave_up":     "the rest of the file could not be decoded",
	"other_chunk":        "in another chunk of the file",
	"damaged":            "damaged audio",
	"mono_source":        "two channels hold the same audio",
}

func inWords(reason string) string {
	if w := reasonWords[reason]; w != "" {
		return w
	}
	return strings.ReplaceAll(reason, "_", " ")
}

// whyInWords returns the reasons that the scores beside them do not show already.
func whyInWords(reasons []string) (list []string) {
	for _, r := range reasons {
		if r != policy.ReasonOverThreshold && r != policy.ReasonBelowThreshold {
			list = append(list, inWords(r))
		}
	}
	return list
}

// dispositionWords are the texts of dispositions.
var dispositionWords = map[string]string{"confirmed_synthetic": "Confirmed synthetic", "false_alarm": "False alarm", "unsure": "Unsure"}

// scoreText formats a score with two decimals, or a dash for no score.
func scoreText(score *float64) string {
	if score == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", *score)
}

// secondsText formats a duration: "7.1 s", "41 s", "3:05".
func secondsText(s report.Seconds) string {
	switch d := time.Duration(s); {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f\u00a0s", d.Seconds())
	case d < 99500*time.Millisecond:
		return fmt.Sprintf("%.0f\u00a0s", d.Seconds())
	default:
		return clockText(s)
	}
}

// clockText formats a position in a call: "0:07", "1:02:03".
func clockText(s report.Seconds) string {
	n := int(time.Duration(s) / time.Second)
	if n >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
	}
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// agoText formats an age: "under a minute", "4 min", "3 h", "2 days".
func agoText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "under a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(math.Round(d.Hours()/24)))
	}
}

// ordinal returns "1st", "2nd", "3rd", "4th".
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}

// coverage returns how much of a call was analysed.
func coverage(speech, analysed report.Seconds) string {
	if speech == 0 {
		return "no speech"
	}
	return secondsText(analysed) + " of " + secondsText(speech)
}

// verdict returns the current decision as a text, and its class in the style sheet.
func verdict(r report.CallReport) (word, class string) {
	class = r.Decision
	word = strings.ToUpper(r.Decision[:1]) + r.Decision[1:]
	if !r.Final {
		if r.Analysed == 0 {
			return "Nothing analysed yet", "pending"
		}
		word += " so far"
	}
	return word, class
}

// reviewWords returns the state of a review as a text, and its class in the style sheet.
func reviewWords(r store.Review, now time.Time) (text, class string) {
	switch holder := r.ClaimedBy(now); {
	case r.State == store.ReviewClosed:
		return dispositionWords[r.Disposition] + ", " + r.ClosedBy, "closed"
	case holder != "":
		return "With " + holder, "claimed"
	default:
		return "Waiting " + agoText(now.Sub(r.OpenedAt)), "waiting"
	}
}
