package app

import (
	"net/http"
	"slices"
	"strings"

	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/problem"
)

// adminRoutes are for the role admin.
func (a *App) adminRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{"PUT /api/v1/log-level": a.setLogLevel}
}

// setLogLevel changes the log level until the next change or start.
func (a *App) setLogLevel(w http.ResponseWriter, r *http.Request) {
	var want struct {
		Level string `json:"level"`
	}
	if err := problem.DecodeJSON(http.MaxBytesReader(w, r.Body, 1<<10), &want); err != nil || !slices.Contains(config.LogLevels, want.Level) {
		problem.Write(w, http.StatusBadRequest, `want {"level": "debug"}; levels are `+strings.Join(config.LogLevels, ", "))
		return
	}
	if a.opt.Level == nil {
		problem.Write(w, http.StatusConflict, "the log level cannot be changed")
		return
	}
	was, is := a.opt.Level.Level(), config.Log{Level: want.Level}.Slog()
	a.opt.Level.Set(is)
	// Logged at the higher of both levels, so that the last line before silence explains it.
	a.opt.Log.Log(r.Context(), max(was, is), "log level changed", "from", was, "to", is, "by", auth.Actor(r.Context()))
	answer(w, map[string]string{"level": want.Level})
}
