// Package event names the events that webhook endpoints can subscribe to.
package event

// The names are part of the webhook interface: they appear in the configuration and in the field type of a message.
const (
	CallFlagged      = "call.flagged"
	CallCleared      = "call.cleared"
	CallInconclusive = "call.inconclusive"
	SegmentScored    = "segment.scored"
	AnalysisError    = "analysis.error"
	AuditHead        = "audit.head"
)

// All returns every event, in the order of the documentation.
func All() []string {
	return []string{CallFlagged, CallCleared, CallInconclusive, SegmentScored, AnalysisError, AuditHead}
}
