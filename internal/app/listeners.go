package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"callscreen/internal/cert"
	"callscreen/internal/config"
	"callscreen/internal/limit"
	"callscreen/internal/review"
)

// listeners are the ports of the HTTP server.
type listeners struct {
	public net.Listener
	admin  net.Listener // nil: everything is at public
	health net.Listener // nil: health and metrics are at the others
	cert   *cert.Files  // nil: no TLS
	log    *slog.Logger
}

// openListeners opens the ports and reads the certificate.
func openListeners(cfg config.Config, limits limit.Connections, log *slog.Logger) (_ *listeners, err error) {
	l := &listeners{log: log}
	if cfg.TLS.On() {
		if l.cert, err = cert.Open(cfg.TLS.CertFile, cfg.TLS.KeyFile, log); err != nil {
			return nil, err
		}
	}
	for _, one := range []struct {
		to           *net.Listener
		key, address string
	}{
		{&l.public, "listen", cfg.Listen},
		{&l.admin, "admin_listen", cfg.AdminListen},
		{&l.health, "health_listen", cfg.HealthListen},
	} {
		if one.address == "" {
			continue
		}
		port, err := net.Listen("tcp", one.address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w (hint: set %s)", err, one.key), l.Close())
		}
		*one.to = limit.Listener(port, limits)
	}
	return l, nil
}

// Close closes the ports. They may be closed already by the servers.
func (l *listeners) Close() (err error) {
	for _, one := range []net.Listener{l.health, l.admin, l.public} {
		if one == nil {
			continue
		}
		if e := one.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// url returns the base URL of a listener.
func (l *listeners) url(of net.Listener) string {
	scheme := "http://"
	if l.cert != nil {
		scheme = "https://"
	}
	return scheme + of.Addr().String()
}

// servers are the HTTP servers of the listeners.
type servers struct {
	running []*http.Server
	served  chan error // gets one error for each server
	ended   int        // servers whose error was received
}

// serve starts a server for each listener. guard judges every request first.
func (l *listeners) serve(h handlers, guard func(http.Handler) http.Handler) *servers {
	s := &servers{served: make(chan error, 3)}
	s.start(l, l.public, guard(h.public))
	if l.admin != nil {
		s.start(l, l.admin, guard(h.admin))
	}
	if l.health != nil {
		s.start(l, l.health, guard(h.health))
	}
	return s
}

// serverLines takes the lines of net/http. Errors of clients, such as one that does not speak TLS, would fill the log. A panic is a fault
// of this program.
type serverLines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l serverLines) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(line, []byte("http: panic serving")) {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, strings.TrimSpace(string(line)))
	return len(line), nil
}

func (s *servers) start(l *listeners, port net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:           limit.Slow(review.Headers(handler)),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(serverLines{l.log}, "", 0),
	}
	serve := server.Serve
	if l.cert != nil {
		server.TLSConfig = l.cert.Config()
		serve = func(port net.Listener) error { return server.ServeTLS(port, "", "") }
	}
	s.running = append(s.running, server)
	go func() { s.served <- serve(port) }() // close waits for it
}

// close lets requests finish within shutdownTimeout, and returns when all servers have ended.
func (s *servers) close(base context.Context) (err error) {
	ctx, cancel := context.WithTimeout(base, shutdownTimeout)
	defer cancel()
	for _, server := range s.running {
		if e := server.Shutdown(ctx); e != nil {
			err = errors.Join(err, server.Close())
		}
	}
	for ; s.ended < len(s.running); s.ended++ {
		if e := <-s.served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}
