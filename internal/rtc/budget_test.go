package rtc

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// budgeted returns a socket with a budget, and another one that it sends to.
func budgeted(t *testing.T, b *Budget) (ours transport.UDPConn, theirs *net.UDPConn) {
	t.Helper()
	network, err := stdnet.NewNet()
	if err != nil {
		t.Fatal(err)
	}
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	if ours, err = (budgetNet{network, b}).ListenUDP("udp4", loopback); err != nil {
		t.Fatal(err)
	}
	if theirs, err = net.ListenUDP("udp4", loopback); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ours.Close() // nothing is under way
		_ = theirs.Close()
	})
	return ours, theirs
}

func message(t *testing.T, setters ...stun.Setter) []byte {
	t.Helper()
	m, err := stun.Build(setters...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func check(t *testing.T) []byte {
	t.Helper()
	return message(t, stun.BindingRequest, stun.TransactionID, stun.NewUsername("theirs:ours"))
}

// exchange sends a packet and reports whether it has arrived.
func exchange(t *testing.T, from, to net.PacketConn, p []byte) bool {
	t.Helper()
	if _, err := from.WriteTo(p, to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := to.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, _, err := to.ReadFrom(make([]byte, 2000))
	return err == nil
}

// Checks are sent within the budget, or for as many bytes as an address has sent. Answering a check ends the limit, and only with
// its transaction id.
func TestChecksKeepToTheBudget(t *testing.T) {
	b := NewBudget()
	ours, theirs := budgeted(t, b)
	one := check(t)
	if exchange(t, ours, theirs, one) {
		t.Error("a check was sent without a budget")
	}
	b.Add(2 * len(one)) // half of it at once
	if !exchange(t, ours, theirs, one) || exchange(t, ours, theirs, check(t)) {
		t.Error("the first half of the budget is not one check")
	}
	if !exchange(t, theirs, ours, check(t)) || !exchange(t, ours, theirs, check(t)) || exchange(t, ours, theirs, check(t)) {
		t.Error("a check that arrived is not worth one check")
	}
	answer := message(t, stun.BindingSuccess, stun.TransactionID)
	if !exchange(t, theirs, ours, answer) || exchange(t, ours, theirs, check(t)) {
		t.Error("an answer to no check ended the limit")
	}
	copy(answer[8:20], one[8:20])
	if !exchange(t, theirs, ours, answer) || !exchange(t, ours, theirs, check(t)) || !exchange(t, ours, theirs, check(t)) {
		t.Error("an address that answers is limited")
	}
}

// Answers to checks are sent for the bytes of these. Requests to STUN servers and other packets are not limited.
func TestOnlyChecksAreLimited(t *testing.T) {
	ours, theirs := budgeted(t, NewBudget())
	answer := message(t, stun.BindingSuccess, stun.TransactionID)
	if exchange(t, ours, theirs, answer) || !exchange(t, theirs, ours, check(t)) || !exchange(t, ours, theirs, answer) {
		t.Error("an answer is not limited by the checks that arrived")
	}
	for name, p := range map[string][]byte{
		"a request to a STUN server": message(t, stun.BindingRequest, stun.TransactionID),
		"DTLS":                       {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"a short packet":             {0, 1},
	} {
		if !exchange(t, ours, theirs, p) {
			t.Errorf("%s was dropped", name)
		}
	}
}

// Each address gets a check before one gets a second, and so does each local address.
func TestAddressesShareTheBudget(t *testing.T) {
	b := NewBudget()
	p := check(t)
	at := func(last byte, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, last}), port)
	}
	b.Add(2 * 8 * len(p))
	got := map[netip.AddrPort]int{}
	local := map[netip.AddrPort]int{}
	for range 3 { // rounds of checks of two local addresses
		time.Sleep(pace)
		for remote := range byte(6) {
			for _, from := range []netip.AddrPort{at(100, 1), at(101, 1)} {
				if b.take(from, at(remote, 9), p) {
					got[at(remote, 9)]++
					local[from]++
				}
			}
		}
	}
	for remote := range byte(6) {
		if n := got[at(remote, 9)]; n < 1 || n > 2 {
			t.Errorf("%d checks for address %d", n, remote)
		}
	}
	if local[at(101, 1)] == 0 {
		t.Error("the second local address was not used")
	}
	// The kernel refused the check: the other local address may send it.
	b = NewBudget()
	b.Add(2 * len(p))
	if !b.take(at(100, 1), at(1, 9), p) {
		t.Fatal("the first check was not sent")
	}
	b.failed(at(1, 9), p)
	if b.take(at(100, 1), at(1, 9), check(t)) || !b.take(at(101, 1), at(1, 9), check(t)) {
		t.Error("a check that was not sent has used the budget")
	}
}
