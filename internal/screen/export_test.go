package screen

import (
	"context"
	"encoding/json"
)

// Sweep does what the engine does once a minute.
func (e *Maintenance) Sweep(ctx context.Context) error { return e.sweep(ctx) }

// Understood tells whether the courier delivers a document of the spool.
func Understood(id string, data []byte) bool {
	var doc document
	return json.Unmarshal(data, &doc) == nil && doc.check(id) == nil
}
