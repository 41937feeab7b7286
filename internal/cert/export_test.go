package cert

import "time"

// SetClock makes the files be looked at by another clock.
func (f *Files) SetClock(now func() time.Time) { f.now = now }
