package auth

import "time"

// SetClock replaces the clock of sessions.
func (a *Auth) SetClock(now func() time.Time) { a.now = now }
