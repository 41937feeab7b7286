// Package peers tests the live path against software that is not ours: Chromium, aiortc and GStreamer by WHIP, whose recording is
// compared with what was played, sample by sample at the best lag; and Janus and rtpengine by plain RTP, through the program as it
// is shipped. Calls from GStreamer, and from an FFmpeg with a WHIP muxer, are screened by a sidecar as well. The package holds
// nothing but tests; `make peers` runs them.
package peers
