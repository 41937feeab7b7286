package screen

import (
	"context"
	"encoding/json"
)

// Sweep runs the work that a Maintenance does once a minute.
func (e *Maintenance) Sweep(ctx context.Context) error { return e.sweep(ctx) }

// Understood reports whether the forwarder accepts a document of the spool.
func Understood(id string, data []byte) bool {
	var doc document
	return json.Unmarshal(data, &doc) == nil && doc.check(id) == nil
}
