// Package policy turns the findings of a call into a decision.
//
// [Policy.Decide] is a pure function: findings in, [Decision] out. It has no clock, does no I/O and imports only the
// standard library. A stored call can be decided again later, or under another policy, with the same result.
//
// # The rules
//
// Each leg is decided on its own, because the scores of two legs are evidence about two people. The outcome of the call
// is the gravest outcome of its legs. The rules of a leg, in order:
//
//  1. A leg is flagged when at least Need of its scores exceed the threshold. The comparison is strict: a score equal to
//     the threshold does not exceed it. If Of is set, those scores must lie within Of consecutive segments.
//  2. A leg is inconclusive in three cases. A segment that failed or is pending could have flagged the leg or made it
//     suspicious. Less than MinSpeech of its speech, or less than the share MinCoverage, was analysed. The leg is
//     suspicious: a score exceeded the threshold, too few did to flag the leg, and no later score fell below ClearBelow.
//  3. Otherwise the leg is clear.
//
// A leg is ignored when every segment was skipped and its speech is shorter than IgnoreBelow. A call with no other legs
// is inconclusive. A score that is not a number within 0..1 counts as a failed analysis.
//
// # Guarantees
//
// The order of the findings does not matter. Raising a score never makes an outcome milder. An additional finding never
// withdraws a flag.
package policy
