// Package browser holds no code of its own: its test plays the story of a call with a real browser, from the first packet
// to the decision of a person, against the program as it is shipped.
package browser
