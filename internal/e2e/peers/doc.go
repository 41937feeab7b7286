// Package peers tests the live path against software that is not ours: Chromium and aiortc by WHIP, whose recording is compared
// with what was played, sample by sample at the best lag; and Janus and rtpengine by plain RTP, through the program as it is
// shipped. It holds nothing but tests; `make peers` runs them.
package peers
