// Package peers tests the live path against WebRTC stacks that are not ours: Chromium and aiortc. It holds nothing but
// tests; `make peers` runs them. What they record is compared with what was played, sample by sample at the best lag.
package peers
