package auth

import "time"

// SetClock makes sessions live by another clock.
func (a *Auth) SetClock(now func() time.Time) { a.now = now }
