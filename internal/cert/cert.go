// Package cert keeps the certificate of a server as it is in its files, which somebody else renews.
package cert

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Files are a certificate and its key that are read again when they change. It is safe for concurrent use.
type Files struct {
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	seen   [2]state // of the files when they were last read, whatever came of it
	looked time.Time
}

// state is by what it is noticed that a file has changed: a new file has another time, or at least another size.
type state struct {
	at   int64
	size int64
}

const (
	lookEvery = 2 * time.Second // at the most, when somebody connects
	mostPEM   = 1 << 20
)

// Open reads the files. At the start a pair that cannot be used is an error.
func Open(cert, key string, log *slog.Logger) (*Files, error) {
	f := &Files{cert: cert, key: key, log: log, now: time.Now}
	if log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.seen, _ = f.states()
	pair, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("tls: %w (hint: check tls.cert_file and tls.key_file)", err)
	}
	f.pair, f.looked = pair, f.now()
	return f, nil
}

// Config is what a server needs. HTTP/2 is up to the server.
func (f *Files) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.get}
}

// get is the certificate for a connection that begins.
func (f *Files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.looked) < lookEvery {
		return f.pair, nil
	}
	f.looked = now
	seen, err := f.states()
	if err == nil && seen == f.seen {
		return f.pair, nil
	}
	var pair *tls.Certificate
	if err == nil {
		pair, err = f.read()
	}
	if err != nil {
		// Those who renew write one file after the other, so it may be half done: it is looked at again until it is good,
		// and reported once for each change.
		if f.seen != seen {
			f.log.Error(
				"the new certificate cannot be used; the one before is used on",
				"error",
				err,
				"hint",
				"check tls.cert_file and tls.key_file",
			)
		}
		f.seen = seen
		return f.pair, nil
	}
	f.log.Info("the certificate has changed", "names", pair.Leaf.DNSNames, "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	f.pair, f.seen = pair, seen
	return f.pair, nil
}

func (f *Files) states() (s [2]state, err error) {
	for i, name := range []string{f.cert, f.key} {
		info, e := os.Stat(name)
		if err = errors.Join(err, e); e == nil {
			s[i] = state{info.ModTime().UnixNano(), info.Size()}
		}
	}
	return s, err
}

func (f *Files) read() (*tls.Certificate, error) {
	cert, err := readPEM(f.cert)
	if err != nil {
		return nil, err
	}
	key, err := readPEM(f.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

func readPEM(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mostPEM))
	return data, err
}
