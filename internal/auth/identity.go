package auth

import (
	"context"
	"slices"
)

// Identity is the sender of a request.
type Identity struct {
	Name  string
	Roles []string // including implied roles
	// Session reports whether the user signed in at the page, and can sign out.
	Session bool
}

// Has reports whether the identity has a role.
func (i Identity) Has(role string) bool { return slices.Contains(i.Roles, role) }

type whoKey struct{}

// Anonymous is the name in the audit log while authentication is off.
const Anonymous = "anonymous"

// From returns the sender of a request that Require has accepted. It returns false while authentication is off.
func From(ctx context.Context) (Identity, bool) {
	who, ok := ctx.Value(whoKey{}).(Identity)
	return who, ok
}

// Actor returns the name for the audit log of the sender of a request that Require has accepted.
func Actor(ctx context.Context) string {
	if who, ok := From(ctx); ok {
		return who.Name
	}
	return Anonymous
}

// May reports whether the sender of a request that Require has accepted has a role. While authentication is off, every
// sender has every role.
func May(ctx context.Context, role string) bool {
	who, ok := From(ctx)
	return !ok || who.Has(role)
}
