// Package network runs the real program over networks that are not loopback: sidecar and sender are processes in network
// namespaces of their own, with a router between them that blocks, translates, loses, or runs a TURN server. It holds
// nothing but tests; `make network` runs them. They need Linux, root, and iproute2, nftables and coturn of Debian.
package network
