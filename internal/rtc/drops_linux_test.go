package rtc

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:231C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20 2 0000000000000000 3
  101: 0200000A:231C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21 2 0000000000000000 4
  102: 0200000A:231D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 22 2 0000000000000000 99
`

func TestDropsAreThoseOfOurPort(t *testing.T) {
	if n, err := socketDrops(strings.NewReader(table), 8988); n != 7 || err != nil {
		t.Errorf("%d, %v, want 7", n, err)
	}
	if _, err := socketDrops(strings.NewReader(strings.Replace(table, " 3\n", " x\n", 1)), 8988); err == nil {
		t.Error("a table that makes no sense is no error")
	}
}

// A socket without a reader overflows, and the table of the kernel counts the drops.
func TestAnOverflowIsSeen(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { overflow(t, net.IPv4(127, 0, 0, 1)) })
	t.Run("IPv6", func(t *testing.T) { overflow(t, net.IPv6loopback) })
}

func overflow(t *testing.T, loopback net.IP) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: loopback})
	if errors.Is(err, syscall.EADDRNOTAVAIL) && loopback.To4() == nil {
		t.Skip("this machine has no IPv6")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	for range 200 {
		if _, err := c.WriteTo(make([]byte, 1000), c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := (&Engine{port: port}).Drops(); n < 100 || err != nil {
		text, _ := os.ReadFile("/proc/net/udp6")
		t.Errorf("%d dropped, %v\n%s", n, err, text)
	}
}
