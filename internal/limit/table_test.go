package limit_test

import (
	"net/netip"
	"testing"
	"time"

	"callscreen/internal/limit"
)

func TestEachAddressHasItsRate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	table := limit.NewTable(2, 3)
	one, two := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	count := func(a netip.Addr) (n int) {
		for range 10 {
			if table.Allow(a, now) {
				n++
			}
		}
		return n
	}
	if a, b := count(one), count(two); a != 3 || b != 3 {
		t.Errorf("at once: %d and %d, want 3", a, b)
	}
	now = now.Add(time.Second)
	if n := count(one); n != 2 {
		t.Errorf("after a second: %d, want 2", n)
	}
	// All addresses of an IPv6 network share one limit.
	if a, b := count(netip.MustParseAddr("2001:db8::1")), count(netip.MustParseAddr("2001:db8::ffff")); a != 3 || b != 0 {
		t.Errorf("IPv6: %d and %d", a, b)
	}
}

// The number of remembered addresses is bounded; further addresses share one limit, and expired ones make room.
func TestTheTableOfAddressesIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	table := limit.NewTable(1, 5)
	allowed := 0
	for i := range 30_000 {
		if table.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now) {
			allowed++
		}
	}
	if table.Len() != 10_000 || allowed != 10_005 {
		t.Errorf("%d addresses, %d allowed", table.Len(), allowed)
	}
	now = now.Add(time.Minute)
	if !table.Allow(netip.MustParseAddr("203.0.113.1"), now) || table.Len() != 1 {
		t.Errorf("%d addresses are left after a minute", table.Len())
	}
}
