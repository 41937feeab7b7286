package auth

import (
	"fmt"
	"os"
	"strings"

	"callscreen/internal/config"
)

// Tokens are the tokens of the environment, by role.
type Tokens map[string]config.Secret

// ReadTokens reads CALLSCREEN_INGEST_TOKEN and the like, or the same with _FILE, from the environment.
func ReadTokens(environ []string) (Tokens, error) {
	t := Tokens{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		for role, variable := range map[string]string{
			"ingest":   "CALLSCREEN_INGEST_TOKEN",
			"reviewer": "CALLSCREEN_REVIEW_TOKEN",
			"admin":    "CALLSCREEN_ADMIN_TOKEN",
		} {
			switch name {
			case variable:
				t[role] = config.Secret(strings.TrimSpace(value))
			case variable + "_FILE":
				data, err := os.ReadFile(value)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				t[role] = config.Secret(strings.TrimSpace(string(data)))
			}
		}
	}
	for role, v := range t {
		if v == "" {
			return nil, fmt.Errorf("the %s token is empty (hint: unset the variable, or give it a value)", role)
		}
	}
	return t, nil
}
