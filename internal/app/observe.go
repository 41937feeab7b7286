package app

import "callscreen/internal/screen"

// observe hears of everything that is done about calls.
func (a *App) observe(s screen.Step) {
	a.opt.Meter.step(s)
}
