package screen

import (
	"context"
	"slices"
	"time"

	"callscreen/internal/store"
)

// Sweep runs the work that a Maintenance does once a minute.
func (e *Maintenance) Sweep(ctx context.Context) error { return e.sweep(ctx) }

// ReverseKept reverses the order of the kept documents.
func (c *Forwarder) ReverseKept() {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Reverse(c.kept)
}

// CheckKept checks the kept documents as at a time.
func (c *Forwarder) CheckKept(ctx context.Context, now time.Time) { c.checkDue(ctx, now) }

// EndLost ends the open parts of a node that was taken over.
func (e *Maintenance) EndLost(ctx context.Context, b store.NodeBeat) error {
	return e.endParts(ctx, b, "node_lost")
}

// Leased returns an API whose requests end with a lease.
func Leased(a API, l *Lease) API { return leased{a, l} }

// LeaseFor is the length of a lease.
const LeaseFor = leaseFor

// Renew extends the lease as a heartbeat that was sent at a time.
func (l *Lease) Renew(start time.Time) { l.renew(start) }
