package auth

import (
	"maps"
	"os"
	"slices"
	"strings"

	"callscreen/internal/config"
)

// Tokens are the tokens of the environment, by role.
type Tokens map[string]config.Secret

// tokenVariables are the variables of the tokens, by role. With _FILE behind it, a variable names a file.
var tokenVariables = map[string]string{
	"ingest":   "CALLSCREEN_INGEST_TOKEN",
	"reviewer": "CALLSCREEN_REVIEW_TOKEN",
	"admin":    "CALLSCREEN_ADMIN_TOKEN",
}

// ReadTokens reads CALLSCREEN_INGEST_TOKEN and the like, or the same with _FILE, from the environment. An error is of type
// config.Problems, and holds all problems: files that cannot be read, empty tokens and weak ones. Tokens of the configuration
// are known only by their hash, so their strength is not checked.
func ReadTokens(environ []string) (Tokens, error) {
	t := Tokens{}
	var ps config.Problems
	from := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		for role, variable := range tokenVariables {
			switch name {
			case variable:
				t[role], from[role] = config.Secret(strings.TrimSpace(value)), name
			case variable + "_FILE":
				data, err := os.ReadFile(value)
				if err != nil {
					ps = append(ps, config.Problem{Path: name, Message: err.Error(), Hint: "check the path and the permissions"})
					continue
				}
				t[role], from[role] = config.Secret(strings.TrimSpace(string(data))), name
			}
		}
	}
	for _, role := range slices.Sorted(maps.Keys(t)) {
		if t[role] == "" {
			ps = append(ps, config.Problem{
				Path:    from[role],
				Message: "the " + role + " token is empty",
				Hint:    "unset the variable, or " + config.StrongSecret,
			})
		} else if why := t[role].Weakness(); why != "" {
			ps = append(ps, config.Problem{Path: from[role], Message: "the " + role + " token " + why, Hint: config.StrongSecret})
		}
	}
	if len(ps) > 0 {
		return nil, ps
	}
	return t, nil
}
