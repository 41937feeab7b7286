package screen

import "context"

// Sweep runs the work that a Maintenance does once a minute.
func (e *Maintenance) Sweep(ctx context.Context) error { return e.sweep(ctx) }
