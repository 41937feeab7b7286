package rtc

import "strings"

// WithoutSources removes the SSRCs that a description declares. pion takes only the declared ones then, and senders go on under
// another, as after a re-INVITE. Without them it takes all.
func WithoutSources(sdp string) string {
	var kept strings.Builder
	for line := range strings.Lines(sdp) {
		if !strings.HasPrefix(line, "a=ssrc:") && !strings.HasPrefix(line, "a=ssrc-group:") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
