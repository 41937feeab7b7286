package app

import (
	"maps"
	"slices"
)

// Patterns is what the program answers to, but for WHIP and what watches over it.
func (a *App) Patterns() []string {
	return slices.Concat(
		a.review.Patterns(),
		slices.Collect(maps.Keys(a.legs.routes())),
		slices.Collect(maps.Keys(a.pullRoutes())),
		slices.Collect(maps.Keys(a.adminRoutes())),
	)
}
