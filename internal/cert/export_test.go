package cert

import "time"

// SetClock replaces the clock of the file checks.
func (f *Files) SetClock(now func() time.Time) { f.now = now }
