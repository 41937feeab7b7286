package cert_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/cert"
	"callscreen/internal/cert/certtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client keeps opening connections while the certificate is replaced, half replaced and broken. No call fails, the
// new certificate is used as soon as the pair is complete, and each broken state is reported once.
func TestRotationWhileAClientKeepsCalling(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first, second := certtest.New(t, "one.example.com"), certtest.New(t, "two.example.com")
	first.Write(t, certFile, keyFile)
	var log bytes.Buffer
	files, err := cert.Open(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var clock atomic.Int64
	start := time.Now().Add(time.Hour)
	files.SetClock(func() time.Time { return start.Add(time.Duration(clock.Load())) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		TLSConfig: files.Config(),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()

	call := func() (string, error) {
		client := &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + listener.Addr().String())
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "HTTP/2.0" {
			t.Errorf("%q %v", body, err)
		}
		return resp.TLS.PeerCertificates[0].DNSNames[0], nil
	}
	var calling sync.WaitGroup
	stop, calls := make(chan struct{}), 0
	calling.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := call(); err != nil {
				t.Error(err)
			}
			calls++
		}
	})
	expect := func(when, want string) {
		t.Helper()
		clock.Add(int64(time.Minute))
		for range 3 {
			if got, err := call(); err != nil || got != want {
				t.Errorf("%s: the certificate is that of %q, want %q (%v)", when, got, want, err)
			}
		}
	}
	expect("at first", "one.example.com")
	second.WriteCert(t, certFile)
	expect("half done", "one.example.com")
	second.WriteKey(t, keyFile)
	expect("done", "two.example.com")
	if err := os.WriteFile(certFile, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("broken", "two.example.com")
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	expect("gone", "two.example.com")
	first.Write(t, certFile, keyFile)
	expect("back", "one.example.com")
	close(stop)
	calling.Wait()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-served
	if calls == 0 {
		t.Error("nobody called meanwhile")
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 3 || strings.Count(log.String(), "hint=") != n {
		t.Errorf("%d errors with a hint were reported, want one for each of three states:\n%s", n, log.String())
	}
	t.Logf("%d calls on the side, none failed", calls)
}

func TestABrokenPairIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := cert.Open(certFile, keyFile, nil); err == nil || !strings.Contains(err.Error(), "hint: ") {
		t.Error(err)
	}
	certtest.New(t, "a").WriteCert(t, certFile)
	certtest.New(t, "b").WriteKey(t, keyFile)
	if _, err := cert.Open(certFile, keyFile, nil); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Error(err)
	}
}
