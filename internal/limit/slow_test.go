package limit_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// A body that does not arrive is aborted, whether the handler reads it or not.
func TestASlowBodyIsGivenUp(t *testing.T) {
	for name, reads := range map[string]bool{"read": true, "not read": false} {
		result := make(chan error, 1)
		server := httptest.NewServer(limit.SlowFor(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if reads {
				_, err := io.ReadAll(r.Body)
				result <- err
			}
		}), 100*time.Millisecond, time.Minute))
		c := dial(t, server)
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nsome")
		if _, err := io.Copy(io.Discard, c); err != nil { // ends when the server closes the connection
			t.Errorf("%s: the connection was not closed: %v", name, err)
		}
		if reads {
			if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		}
		server.Close()
	}
}

// A handler may work for longer than the body limit, and the connection then serves the next request.
func TestTheTimeOfTheBodyIsNotThatOfTheHandler(t *testing.T) {
	server := httptest.NewServer(limit.SlowFor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(500 * time.Millisecond):
			_, _ = io.WriteString(w, "done")
		}
	}), 100*time.Millisecond, time.Minute))
	defer server.Close()
	c := dial(t, server)
	in := bufio.NewReader(c)
	for range 2 {
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nsome")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || string(got) != "done" {
			t.Errorf("%q %v", got, err)
		}
	}
}

// The deadline of one answer does not apply to the next on the same connection, even if that has no body.
func TestDeadlinesDoNotOutliveTheirRequest(t *testing.T) {
	server := httptest.NewServer(limit.SlowFor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, "something")
		}
	}), 50*time.Millisecond, 50*time.Millisecond))
	defer server.Close()
	c := dial(t, server)
	in := bufio.NewReader(c)
	for _, method := range []string{"POST", "DELETE", "POST"} {
		fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", method)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		time.Sleep(150 * time.Millisecond)
	}
}

// A client that does not read the answer does not block the handler.
func TestAnAnswerThatIsNotTakenIsGivenUp(t *testing.T) {
	result := make(chan error, 1)
	server := httptest.NewServer(limit.SlowFor(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := []byte(strings.Repeat("x", 1<<20))
		for range 64 {
			if _, err := w.Write(piece); err != nil {
				result <- err
				return
			}
		}
		result <- nil
	}), time.Minute, 200*time.Millisecond))
	defer server.Close()
	c := dial(t, server)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// Connections over the limit are closed at once, those within it are served, and a closed connection frees a place.
func TestConnectionsAreBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Listener = limit.Listener(server.Listener, limit.Connections{Most: 2, Each: 2})
	server.Start()
	defer server.Close()
	served := func(c net.Conn) bool {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == 200
	}
	first, second := dial(t, server), dial(t, server)
	if !served(first) || !served(second) {
		t.Fatal("two are not served")
	}
	if served(dial(t, server)) {
		t.Error("a third is served")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !served(dial(t, server)); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the place that was left is not free")
		}
	}
}

// One client has its share of the connections, and a client that is exempt, such as a proxy, has none.
func TestEachClientHasItsConnections(t *testing.T) {
	for exempt, want := range map[bool]int{false: 2, true: 5} {
		var log strings.Builder
		refusals := limit.NewRefusals(slog.New(slog.NewTextHandler(&log, nil)))
		port, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := limit.Listener(port, limit.Connections{
			Most:     6,
			Each:     2,
			Exempt:   func(a netip.Addr) bool { return exempt && a.String() == "127.0.0.2" },
			Refusals: refusals,
		})
		taken := make(chan net.Conn, 10)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				taken <- c
			}
		}()
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 20 * time.Second}
		for range 5 {
			c, err := dialer.DialContext(t.Context(), "tcp", port.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		other, err := net.Dial("tcp", port.Addr().String()) // accepted after the others
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		from := map[string]int{}
		for from["127.0.0.1"] == 0 {
			c := <-taken
			defer c.Close()
			from[c.RemoteAddr().(*net.TCPAddr).IP.String()]++
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
		lines := strings.Count(log.String(), "address=127.0.0.2")
		if n := refusals.Counts()[limit.OfConnections]; from["127.0.0.2"] != want || n != uint64(5-want) || (lines == 1) != (want < 5) {
			t.Errorf("exempt %v: %v, %d refused, %d lines", exempt, from, n, lines)
		}
	}
}

// A client that is limited is logged once an hour, and all are counted. Addresses of one IPv6 network are one client.
func TestLimitedClientsAreLoggedOnce(t *testing.T) {
	var log strings.Builder
	now := time.Unix(1_800_000_000, 0)
	r := limit.NewRefusals(slog.New(slog.NewTextHandler(&log, nil)))
	r.SetClock(func() time.Time { return now })
	for i := range 5000 {
		r.Note(limit.OfTokens, netip.MustParseAddr("203.0.113.1"))
		r.Note(limit.OfSessions, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		r.Note(limit.OfTokens, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i)))
	}
	lines := func(text string) int { return strings.Count(log.String(), text) }
	n := r.Counts()
	if lines("limit=tokens") != 2 || lines("limit=sessions") != 998 || n[limit.OfTokens] != 10_000 || n[limit.OfSessions] != 5000 {
		t.Errorf("%d and %d lines, %v", lines("limit=tokens"), lines("limit=sessions"), n)
	}
	now = now.Add(2 * time.Hour)
	r.Note(limit.OfTokens, netip.MustParseAddr("203.0.113.1"))
	r.Note(limit.OfSessions, netip.MustParseAddr("10.9.9.9"))
	if lines("address=203.0.113.1") != 2 || lines("address=10.9.9.9") != 1 {
		t.Error("not logged again")
	}
}

// full is a listener without descriptors for a while.
type full struct {
	net.Listener
	errors int
}

func (l *full) Accept() (net.Conn, error) {
	if l.errors--; l.errors >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// A listener goes on after a time without descriptors: the server of ICE-TCP gives up at the first error.
func TestAListenerSurvivesATimeWithoutDescriptors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := limit.Listener(&full{l, 3}, limit.Connections{Most: 1, Each: 1})
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := limited.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
