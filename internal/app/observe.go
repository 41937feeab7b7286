package app

import (
	"context"
	"encoding/json"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/trace"
)

// openTrace comes first, so that it is closed last, when everything has been told.
func (a *App) openTrace(ctx context.Context) (err error) {
	if a.opt.Config.Trace.Endpoint == "" {
		return nil
	}
	if a.trace, err = trace.New(ctx, trace.Config{Endpoint: a.opt.Config.Trace.Endpoint, Version: a.opt.Version, Log: a.opt.Log}); err != nil {
		return err
	}
	a.closing(a.trace.Close)
	return nil
}

// observe hears of everything that is done about calls.
func (a *App) observe(s screen.Step) {
	a.opt.Meter.step(s)
	if a.trace != nil {
		a.trace.Step(s)
	}
}

// told hears of attempts to deliver webhooks. They belong to the first part of their call, whose begin the message says.
func (a *App) told(m store.Delivery, start, end time.Time, err error) {
	if a.trace == nil {
		return
	}
	var body struct {
		Data struct {
			StartedAt time.Time `json:"started_at"`
		} `json:"data"`
	}
	if e := json.Unmarshal([]byte(m.Body), &body); e != nil || m.Call == "" || body.Data.StartedAt.IsZero() {
		return // it does not say which trace it belongs to
	}
	a.trace.Step(screen.Step{
		Name:  screen.StepWebhook,
		Call:  m.Call,
		Began: body.Data.StartedAt,
		Start: start,
		End:   end,
		Err:   err,
	})
}
