// Package testkit holds test helpers of several packages. It imports only the standard library, so that the leaves can
// use it.
package testkit
