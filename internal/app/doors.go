package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"callscreen/internal/cert"
	"callscreen/internal/limit"
	"callscreen/internal/review"
)

const (
	headersFor = 10 * time.Second // a request has to say what it wants
	idleFor    = 2 * time.Minute  // a connection is kept for the next request
	maxHeaders = 64 << 10
	// mostConnections is what each listener serves at a time; WHIP needs none while a call runs. Further ones are closed at
	// once, so that those who hold connections open cannot take the files that media and the database need.
	mostConnections = 4096
)

// openListeners opens the ports of the HTTP server, and reads the certificate.
func (a *App) openListeners() (err error) {
	cfg := a.opt.Config
	if cfg.TLS.On() {
		if a.cert, err = cert.Open(cfg.TLS.CertFile, cfg.TLS.KeyFile, a.opt.Log); err != nil {
			return err
		}
	}
	if a.listener, err = a.listen(cfg.Listen, "listen"); err != nil || cfg.AdminListen == "" {
		return err
	}
	a.admin, err = a.listen(cfg.AdminListen, "admin_listen")
	return err
}

func (a *App) listen(address, key string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w (hint: set %s)", err, key)
	}
	a.closing(l.Close)
	return limit.Listener(l, mostConnections), nil
}

// URL is where the HTTP server listens.
func (a *App) URL() string { return a.scheme() + a.Addr() }

// AdminURL is where what watches and manages it listens, "" if that is at URL.
func (a *App) AdminURL() string {
	if a.admin == nil {
		return ""
	}
	return a.scheme() + a.admin.Addr().String()
}

func (a *App) scheme() string {
	if a.cert != nil {
		return "https://"
	}
	return "http://"
}

// doors are the HTTP servers that run.
type doors struct {
	servers []*http.Server
	served  chan error // one for each server
	ended   int        // servers whose error was taken
}

// openDoors begins to serve.
func (a *App) openDoors() *doors {
	public, admin := a.handlers()
	d := &doors{served: make(chan error, 2)}
	d.serve(a, a.listener, public)
	if a.admin != nil {
		d.serve(a, a.admin, admin)
	}
	return d
}

func (d *doors) serve(a *App, l net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:           limit.Slow(review.Headers(handler)),
		ReadHeaderTimeout: headersFor,
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(a.opt.Log.Handler(), slog.LevelDebug),
	} // that of others: whoever does not speak TLS would fill the log
	serve := server.Serve
	if a.cert != nil {
		server.TLSConfig = a.cert.Config()
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	d.servers = append(d.servers, server)
	go func() { d.served <- serve(l) }() // waited for by close
}

// close lets requests end for a while, and returns when all servers have ended.
func (d *doors) close(base context.Context) (err error) {
	ctx, cancel := context.WithTimeout(base, serveFor)
	defer cancel()
	for _, s := range d.servers {
		if e := s.Shutdown(ctx); e != nil {
			err = errors.Join(err, s.Close())
		}
	}
	for ; d.ended < len(d.servers); d.ended++ {
		if e := <-d.served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}
