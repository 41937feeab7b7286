package app

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/problem"
)

// adminRoutes is what who runs the program can ask of it.
func (a *App) adminRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{"PUT /api/v1/log-level": a.setLogLevel}
}

// setLogLevel makes the log say more or less, until the next change or the next start.
func (a *App) setLogLevel(w http.ResponseWriter, r *http.Request) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	decoder.DisallowUnknownFields()
	var want struct {
		Level string `json:"level"`
	}
	if err := decoder.Decode(&want); err != nil || decoder.More() || !slices.Contains(config.LogLevels, want.Level) {
		problem.Write(w, http.StatusBadRequest, `want {"level": "debug"}; levels are `+strings.Join(config.LogLevels, ", "))
		return
	}
	if a.opt.Level == nil {
		problem.Write(w, http.StatusConflict, "the level of this log cannot be changed")
		return
	}
	was, is := a.opt.Level.Level(), config.Log{Level: want.Level}.Slog()
	a.opt.Level.Set(is)
	// At the higher of both, so that the last line before silence says why.
	a.opt.Log.Log(r.Context(), max(was, is), "the level of the log is changed", "from", was, "to", is, "by", auth.Who(r.Context()))
	answer(w, map[string]string{"level": want.Level})
}
