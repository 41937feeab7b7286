// Package testkit is what the tests of several packages need. It imports nothing of the house, so that the leaves may use
// it too.
package testkit
