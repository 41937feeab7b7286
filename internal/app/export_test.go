package app

import (
	"maps"
	"net/http"
	"slices"
)

// Patterns returns the patterns of the HTTP handlers, without those of WHIP and of monitoring.
func (a *App) Patterns() []string {
	return slices.Concat(
		a.review.Patterns(),
		slices.Collect(maps.Keys(a.legs.routes())),
		slices.Collect(maps.Keys(a.pullRoutes())),
		slices.Collect(maps.Keys(a.adminRoutes())),
	)
}

// Handlers returns handlers as those of the public and of the admin listener.
func (a *App) Handlers() (public, admin http.Handler) {
	h := a.handlers()
	return h.public, h.admin
}
