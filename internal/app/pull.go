package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"callscreen/internal/problem"
	"callscreen/internal/whep"
	"callscreen/internal/whip"
)

// pulls are the legs that are fetched from media servers.
type pulls struct {
	mu      sync.Mutex
	running map[[2]string]*pull // by call and leg
	closed  bool
	done    sync.WaitGroup
}

type pull struct {
	stop context.CancelFunc
	over chan struct{}
}

const pullAnswers = 20 * time.Second // for the media server, to one request

// source is where a leg is fetched from.
type source struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func readSource(body io.Reader) (s source, err error) {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || d.More() {
		return s, errors.New(`want {"url": "https://...", "token": "..."}`)
	}
	if u, err := url.Parse(s.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return s, errors.New("url is no web address")
	}
	return s, nil
}

// startPull begins to fetch a leg.
func (a *App) startPull(w http.ResponseWriter, r *http.Request) {
	body, err := readSource(http.MaxBytesReader(w, r.Body, 16<<10))
	if err != nil {
		problem.Write(w, http.StatusBadRequest, err.Error())
		return
	}
	key := [2]string{r.PathValue("call"), r.PathValue("leg")}
	for _, name := range key {
		if !whip.ValidName(name) {
			problem.Write(w, http.StatusBadRequest, "the name of the call or of the leg cannot be used")
			return
		}
	}
	metadata, err := whip.Metadata(r.URL.RawQuery)
	if err != nil {
		problem.Write(w, http.StatusBadRequest, err.Error())
		return
	}
	p := &a.pulls
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		w.Header().Set("Retry-After", "10")
		problem.Write(w, http.StatusServiceUnavailable, "shutting down")
		return
	case p.running[key] != nil:
		problem.Write(w, http.StatusConflict, "the leg is being fetched already (hint: DELETE it first)")
		return
	case len(p.running) >= a.opt.Config.WebRTC.MaxSessions:
		w.Header().Set("Retry-After", "5")
		problem.Write(w, http.StatusServiceUnavailable, "there are as many sessions as are allowed")
		return
	}
	if err := a.spool.Room(); err != nil {
		w.Header().Set("Retry-After", "30")
		problem.Write(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	call, err := a.live.Join(key[0], metadata, nil)
	if err != nil {
		problem.Write(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(r.Context()))
	one := &pull{stop: stop, over: make(chan struct{})}
	p.running[key] = one
	p.done.Go(func() {
		defer close(one.over)
		l := &leg{app: a, call: call, session: whip.Session{Call: key[0], Leg: key[1]}, joined: time.Now()}
		transport := a.whepAllow.Transport("webrtc.whep_allow")
		transport.Proxy = nil // media servers are near
		client := &http.Client{Transport: transport, Timeout: pullAnswers}
		defer client.CloseIdleConnections()
		err := whep.Run(ctx, whep.Config{
			URL:    body.URL,
			Token:  body.Token,
			Leg:    l,
			Client: client,
			Log:    a.opt.Log.With("call", key[0], "leg", key[1]),
		})
		stopped := errors.Is(err, context.Canceled)
		if !stopped {
			a.opt.Log.Warn("a leg is not fetched any more", "call", key[0], "leg", key[1], "error", err)
		}
		p.mu.Lock()
		delete(p.running, key)
		p.mu.Unlock()
		l.Close(!stopped)
	})
	w.WriteHeader(http.StatusCreated)
}

// stopPull ends the fetching of a leg, and returns when it has ended.
func (a *App) stopPull(w http.ResponseWriter, r *http.Request) {
	a.pulls.mu.Lock()
	one := a.pulls.running[[2]string{r.PathValue("call"), r.PathValue("leg")}]
	a.pulls.mu.Unlock()
	if one == nil {
		problem.Write(w, http.StatusNotFound, "no such leg is being fetched")
		return
	}
	one.stop()
	<-one.over
	_, _ = io.WriteString(w, "")
}

// close ends the fetching of all legs.
func (p *pulls) close() {
	p.mu.Lock()
	p.closed = true
	for _, one := range p.running {
		one.stop()
	}
	p.mu.Unlock()
	p.done.Wait()
}
