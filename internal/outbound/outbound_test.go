package outbound_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t *testing.T, list ...string) outbound.List {
	t.Helper()
	l, err := outbound.Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWhatAListAllows(t *testing.T) {
	l := parse(t, "CRM.example.com.", "10.1.0.0/16", "192.0.2.7", "[::1]")
	for _, c := range []struct {
		host, addr string
		want       bool
	}{
		{"crm.example.com", "93.184.216.34", true},
		{"crm.example.com.", "2606:2800::1", true},
		{"other.example.com", "93.184.216.34", false},
		{"crm.example.com.evil.example", "93.184.216.34", false},
		{"93.184.216.34", "93.184.216.34", false},
		{"anything", "10.1.2.3", true},
		{"anything", "::ffff:10.1.2.3", true},
		{"anything", "10.2.0.1", false},
		{"192.0.2.7", "192.0.2.7", true},
		{"x", "::1", true},
		// The name is permitted, but resolves to a forbidden address.
		{"crm.example.com", "127.0.0.1", false},
		{"crm.example.com", "10.2.0.1", false},
		{"crm.example.com", "169.254.169.254", false},
		{"crm.example.com", "fe80::1%eth0", false},
		{"crm.example.com", "0.0.0.0", false},
		{"crm.example.com", "100.64.1.1", false},
		{"crm.example.com", "fd00::1", false},
		{"crm.example.com", "::ffff:127.0.0.1", false},
		{"crm.example.com", "64:ff9b::7f00:1", false},
		{"crm.example.com", "2002:7f00:1::", false},
		{"crm.example.com", "::", false},
		{"crm.example.com", "224.0.0.1", false},
	} {
		if got := l.Allows(c.host, netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s at %s: %v", c.host, c.addr, got)
		}
	}
	if !parse(t).Allows("x", netip.MustParseAddr("127.0.0.1")) {
		t.Error("without a list something is refused")
	}
	if _, err := outbound.Parse([]string{"10.0.0.0/99"}); err == nil {
		t.Error("10.0.0.0/99 is a network")
	}
}

// The check happens when the connection is made, after DNS resolution and before a byte is sent. A proxy of the
// environment does not bypass it.
func TestConnectionsAreRefusedWhenTheyAreMade(t *testing.T) {
	var asked atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inner.Close()
	_, port, err := net.SplitHostPort(inner.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", inner.URL)
	for name, c := range map[string]struct {
		list []string
		url  string
		want bool
	}{
		"the network":               {[]string{"127.0.0.0/8", "::1"}, inner.URL, true},
		"another network":           {[]string{"127.0.0.2/32"}, inner.URL, false},
		"a name for this machine":   {[]string{"localhost"}, "http://localhost:" + port, false},
		"a name and its network":    {[]string{"localhost", "127.0.0.0/8", "::1"}, "http://localhost:" + port, true},
		"a name by another address": {[]string{"crm.example.com"}, inner.URL, false},
		"decimal":                   {[]string{"10.0.0.0/8"}, "http://2130706433:" + port, false},
	} {
		asked.Store(0)
		err := get(t, parse(t, c.list...), c.url)
		if (err == nil) != c.want || asked.Load() > 0 != c.want {
			t.Errorf("%s: %v, %d requests", name, err, asked.Load())
		}
		if err != nil && name != "decimal" && !strings.Contains(err.Error(), "is not allowed (hint: some_key)") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func get(t *testing.T, l outbound.List, url string) error {
	t.Helper()
	client := &http.Client{Transport: l.Transport("some_key")}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}
