// Package cert serves a TLS certificate from files, and reloads them after a renewal.
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

// Files is a certificate and its key. Changed files are reloaded. It is safe for concurrent use.
type Files struct {
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	seen   [2]state // of the files at the last attempt to read them
	looked time.Time
}

// state detects a change of a file: a new file has another time, or at least another size.
type state struct {
	at   int64
	size int64
}

const (
	lookEvery = 2 * time.Second // minimum interval between checks, at a new connection
	mostPEM   = 1 << 20
)

// Open reads the files. An invalid pair is an error.
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

// Config returns the TLS configuration of a server. The server sets up HTTP/2.
func (f *Files) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.get}
}

// get returns the certificate for a new connection.
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
		// A renewal writes one file after the other, so a pair can be incomplete for a moment. It is retried until it is
		// valid, and reported once per change.
		if f.seen != seen {
			f.log.Error(
				"loading new certificate failed, previous one stays in use",
				"error",
				err,
				"hint",
				"check tls.cert_file and tls.key_file",
			)
		}
		f.seen = seen
		return f.pair, nil
	}
	f.log.Info("certificate reloaded", "names", pair.Leaf.DNSNames, "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
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
