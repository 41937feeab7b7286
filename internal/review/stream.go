package review

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	heartbeat = 15 * time.Second // proxies close what is silent for longer
	writeFor  = 10 * time.Second // a listener that takes nothing for so long is gone
	// streamFor bounds a stream, so that it is asked again and again whether the listener may still listen.
	streamFor = 15 * time.Minute
	// mostReplay is how many events are repeated. Who was away for longer loads everything again.
	mostReplay = 10_000
)

// stream sends what happens, as server-sent events.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	after := int64(-1) // only what comes from now on
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after") // a page knows where it was made
	}
	if text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return bad("Last-Event-ID, or after, is the id of an event")
		}
	}
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
	h.Set("X-Accel-Buffering", "no") // of nginx
	c := &client{w: w, out: http.NewResponseController(w), last: l.from}
	defer func() { _ = c.out.SetWriteDeadline(time.Time{}) }() // the connection may serve other requests
	if err := c.send([]byte("retry: 2000\n\n")); err != nil {
		return nil //nolint:nilerr // nobody listens any more
	}
	if after >= 0 {
		if err := s.repeat(r.Context(), c, l, after); err != nil {
			if !c.gone {
				s.cfg.Log.Warn("events could not be repeated", "error", err)
			}
			return nil // the client comes back
		}
	}
	c.follow(r.Context(), l)
	return nil
}

// client is the other end of a stream.
type client struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	last int64 // id that was sent last
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

// sendAll sends an event together with those that wait behind it.
func (c *client) sendAll(e event, l *listener) error {
	var data []byte
	for ok := true; ok; {
		if e.seq == 0 || e.seq > c.last { // the others were repeated already
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

// repeat sends what the client has missed, up to where its queue begins.
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

// follow sends what comes, until either end has enough.
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
