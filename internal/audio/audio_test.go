package audio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/audio"
	"callscreen/internal/seal"
	"callscreen/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// suites runs the tests of every store with plain and with encrypted audio.
func suites(t *testing.T, s audio.Store) {
	secret, _, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	suite(t, audio.Sealed(s, keys, t.TempDir()))
	suite(t, s) // which closes it
}

func suite(t *testing.T, s audio.Store) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "a.wav")
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	const key = "ab/abcdef.wav"
	if _, _, err := s.Open(ctx, key); !errors.Is(err, audio.ErrNotFound) {
		t.Errorf("before: %v", err)
	}
	for range 2 { // the second time as after a crash
		if err := s.Put(ctx, key, file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(file); err != nil { // the spool deletes its copy
		t.Fatal(err)
	}
	o, size, err := s.Open(ctx, key)
	if err != nil || size != int64(len(content)) {
		t.Fatal(size, err)
	}
	if _, err := o.Seek(500_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, content[500_000:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Put(ctx, "xy/gone.wav", file); !errors.Is(err, audio.ErrNotFound) {
		t.Errorf("a file that is not there: %v", err)
	}
	for range 2 {
		if err := s.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Open(ctx, key); !errors.Is(err, audio.ErrNotFound) {
		t.Errorf("after: %v", err)
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
	if c, ok := s.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFolder(t *testing.T) {
	s, err := audio.New(t.Context(), "", filepath.Join(t.TempDir(), "audio"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../x.wav", "/etc/x.wav", "a//b.wav"} {
		if err := s.Put(t.Context(), key, "/dev/null"); err == nil {
			t.Errorf("%s was taken", key)
		}
		if o, _, err := s.Open(t.Context(), key); err == nil {
			t.Errorf("%s was opened: %v", key, o.Close())
		}
	}
	suites(t, s)
}

// If the spool is on another disk than the audio, the file is copied.
func TestFolderOnAnotherFileSystem(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "callscreen-audio-")
	if err != nil {
		t.Skip("there is no second file system: ", err)
	}
	defer os.RemoveAll(other)
	s, err := audio.NewFolder(other)
	if err != nil {
		t.Fatal(err)
	}
	suites(t, s)
}

// TestS3 runs against versitygw, an S3 server on a directory.
func TestS3(t *testing.T) {
	server, err := exec.LookPath("versitygw")
	if err != nil {
		server = os.Getenv("CALLSCREEN_VERSITYGW")
	}
	if server == "" {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatal("versitygw is not installed")
		}
		t.Skip("versitygw is not installed (go install github.com/versity/versitygw/cmd/versitygw@latest)")
	}
	addr := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "calls"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), server, "--access", "key", "--secret", "secret", "--port", addr, "posix", dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v\n%s", err, log.String())
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	address := fmt.Sprintf("s3://calls/some/prefix?endpoint=http://%s&region=us-east-1", addr)
	s, err := audio.New(t.Context(), address, "")
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	suites(t, s)
	if _, err := audio.New(t.Context(), strings.Replace(address, "calls", "other", 1), ""); err == nil ||
		!strings.Contains(err.Error(), "bucket other does not exist") {
		t.Error(err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if _, err := audio.New(t.Context(), address, ""); err == nil || !strings.Contains(err.Error(), "hint: check the endpoint") {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"http://x":                      "is not an S3 URL",
		"s3://":                         "is not an S3 URL",
		"s3://b?x=1":                    `unknown parameter "x"`,
		"s3://b?endpoint=ftp://x":       "is not a server URL",
		"s3://b?endpoint=https://u:p@h": "is not a server URL",
	} {
		if _, err := audio.New(t.Context(), address, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
