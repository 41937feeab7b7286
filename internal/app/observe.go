package app

import (
	"context"
	"encoding/json"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/trace"
)

// openTrace comes first, so that the tracer is closed last and gets all steps.
func (a *App) openTrace(ctx context.Context) (err error) {
	if a.opt.Config.Trace.Endpoint == "" {
		return nil
	}
	if a.trace, err = trace.New(ctx, trace.Config{Endpoint: a.opt.Config.Trace.Endpoint, Version: a.opt.Version, Log: a.opt.Log}); err != nil {
		return err
	}
	a.onClose("traces", a.trace.Close)
	return nil
}

// observe takes each step of the pipeline.
func (a *App) observe(s screen.Step) {
	a.opt.Meter.step(s)
	if a.trace != nil {
		a.trace.Step(s)
	}
}

// told takes each attempt to deliver a webhook. The attempt belongs to the first part of its call, whose start stands in the
// message.
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
		return // its trace is not known
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
