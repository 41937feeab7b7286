package testkit

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // that FreePort has returned
)

// FreePort returns a port that is free for TCP and UDP on all addresses, for a program or a listener that is started later. The kernel
// gives ports of its own choice, from 32768 on, to other sockets meanwhile; this port is below.
func FreePort(tb testing.TB) int {
	tb.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if !ports[port] && isFree(port) {
			ports[port] = true
			return port
		}
	}
	tb.Fatal("no port is free")
	return 0
}

func isFree(port int) bool {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return false
	}
	defer udp.Close()
	return true
}
