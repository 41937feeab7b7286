// Package crash holds the program to its first promises from outside: it runs the real binary, publishes live calls to it,
// kills it, stops what it depends on, and judges from what it had said it had before, and from what is there afterwards.
package crash
