package review

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"callscreen/internal/auth"
	"callscreen/internal/limit"
)

const (
	heartbeat = 15 * time.Second // proxies close silent connections
	writeFor  = 10 * time.Second // a client that reads nothing for this long is disconnected
	// streamFor limits the duration of a stream, so that the authorization of the client is checked again.
	streamFor = 15 * time.Minute
	// mostReplay is the maximum number of repeated events. A client that missed more reloads everything.
	mostReplay = 10_000
)

// stream sends events as server-sent events.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	after := int64(-1) // only new events
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after") // a page includes all events up to this one
	}
	if text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return bad("Last-Event-ID and after must be the id of an event")
		}
	}
	who, _ := auth.From(r.Context())
	give, err := s.events.share(who.Name, s.cfg.Client(r))
	if err != nil {
		s.cfg.Limited.Note(limit.OfEventStreams, s.cfg.Client(r))
		w.Header().Set("Retry-After", "10")
		return refuse(http.StatusTooManyRequests, err.Error())
	}
	defer give()
	l, err := s.events.join(r.Context(), r.URL.Query().Get("call"))
	switch {
	case errors.Is(err, errTooMany), errors.Is(err, errStopped):
		w.Header().Set("Retry-After", "10")
		return refuse(http.StatusServiceUnavailable, err.Error())
	case err != nil:
		return err
	}
	defer s.events.leave(l)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // for nginx
	c := &client{w: w, out: http.NewResponseController(w), last: l.from}
	defer func() { _ = c.out.SetWriteDeadline(time.Time{}) }() // the connection may serve other requests
	if err := c.send([]byte("retry: 2000\n\n")); err != nil {
		return nil //nolint:nilerr // the client has disconnected
	}
	if after >= 0 {
		if err := s.repeat(r.Context(), c, l, after); err != nil {
			if !c.gone {
				s.cfg.Log.Warn("repeating events failed", "error", err)
			}
			return nil // the client reconnects
		}
	}
	c.follow(r.Context(), l)
	return nil
}

// client is the connection of a stream.
type client struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	last int64 // last sent id
	gone bool
}

func (c *client) send(data []byte) error {
	err := c.out.SetWriteDeadline(time.Now().Add(writeFor))
	if err == nil {
		_, err = c.w.Write(data)
	}
	if err == nil {
		err = c.out.Flush()
	}
	c.gone = err != nil
	return err
}

// sendAll sends an event together with the queued ones.
func (c *client) sendAll(e event, l *listener) error {
	var data []byte
	for ok := true; ok; {
		if e.seq == 0 || e.seq > c.last { // skip events that were repeated already
			data = append(data, e.data...)
		}
		ok = false
		if len(data) < 64<<10 {
			select {
			case e, ok = <-l.queue:
			default:
			}
		}
	}
	if len(data) == 0 {
		return nil
	}
	return c.send(data)
}

// repeat sends the events that the client has missed, up to the start of its queue.
func (s *Server) repeat(ctx context.Context, c *client, l *listener, after int64) error {
	if after > l.from || l.from-after > mostReplay {
		c.last = l.from
		return c.send(fmt.Appendf(nil, "id: %d\nevent: reset\ndata: {}\n\n", l.from))
	}
	for after < l.from {
		lines, err := s.cfg.Store.AuditAfter(ctx, after, feedBatch)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			break
		}
		for _, line := range lines {
			after = line.Seq
			if l.call != "" && l.call != line.Call {
				continue
			}
			e, err := lineEvent(line)
			if err != nil {
				return err
			}
			if err := c.send(e.data); err != nil {
				return err
			}
		}
	}
	c.last = after
	return nil
}

// follow sends new events until one side ends the stream.
func (c *client) follow(ctx context.Context, l *listener) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	end := time.NewTimer(streamFor)
	defer end.Stop()
	for {
		var err error
		select {
		case e, ok := <-l.queue:
			if !ok {
				return
			}
			err = c.sendAll(e, l)
		case <-beat.C:
			err = c.send([]byte(": still here\n\n"))
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}
