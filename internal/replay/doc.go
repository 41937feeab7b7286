// Package replay screens recordings in memory by the rules that also hold for live calls. It needs neither database nor
// queue.
package replay
