package auth

import (
	"context"
	"slices"
)

// Identity is who makes a request.
type Identity struct {
	Name  string
	Roles []string // those that the given ones imply included
	// Session tells whether they have signed in at the page, and can sign out.
	Session bool
}

// Has tells whether somebody has a role.
func (i Identity) Has(role string) bool { return slices.Contains(i.Roles, role) }

type whoKey struct{}

// Nobody is who acts where authentication is off.
const Nobody = "anonymous"

// From is who makes a request that Require has let pass; false where authentication is off.
func From(ctx context.Context) (Identity, bool) {
	who, ok := ctx.Value(whoKey{}).(Identity)
	return who, ok
}

// Who is the name of whoever makes a request that Require has let pass, for the audit.
func Who(ctx context.Context) string {
	if who, ok := From(ctx); ok {
		return who.Name
	}
	return Nobody
}

// May tells whether whoever makes a request that Require has let pass has a role. Where authentication is off everybody
// has all of them.
func May(ctx context.Context, role string) bool {
	who, ok := From(ctx)
	return !ok || who.Has(role)
}
