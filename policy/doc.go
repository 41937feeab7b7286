// Package policy decides what the findings of a call mean.
//
// [Policy.Decide] is a pure function: findings in, [Decision] out. It has no clock, does no I/O and imports nothing but
// the standard library, so a stored call can be decided again years later, or under another policy, with the same result.
//
// # The rules
//
// Each leg is decided by itself, because the scores of two legs are evidence about two people; the call takes the
// gravest outcome of its legs. In order:
//
//  1. A leg is flagged when at least Need of its scores exceed the threshold, strictly: a score equal to the threshold
//     does not count. With Of set they must lie within Of consecutive segments.
//  2. A leg is inconclusive when a segment whose analysis failed, or is not known yet, could have flagged it or made it
//     suspicious; when less than MinSpeech of its speech, or less than the share MinCoverage, was analysed; or when it
//     is suspicious: a score exceeded the threshold, too few did to flag it, and none since fell below ClearBelow.
//  3. Otherwise it is clear.
//
// A leg of which nothing was worth an analysis, and that spoke for less than IgnoreBelow, says nothing about a speaker
// and is left out; a call of which no leg is left is inconclusive. A score that is not a number within 0..1 is a failed analysis.
//
// # What can be relied on
//
// The order of the findings does not matter. Raising a score never makes an outcome milder, and another finding never
// takes a flag back.
package policy
