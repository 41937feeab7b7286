package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"callscreen/internal/config"
)

// Endpoint is the destination of webhook messages.
type Endpoint struct {
	Name    string
	URL     string
	Events  []string
	Secrets []Secret // every message is signed with each, so that secrets can be rotated
}

// Secret is a signing key.
type Secret []byte

// ParseSecret parses "whsec_" followed by 24 to 64 bytes in base64.
func ParseSecret(text string) (Secret, error) {
	const prefix = "whsec_"
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, prefix) {
		return nil, errors.New("a webhook secret starts with whsec_ (hint: echo whsec_$(head -c 32 /dev/urandom | base64))")
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, prefix))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("a webhook secret is whsec_ and 24 to 64 bytes in base64 (hint: echo whsec_$(head -c 32 /dev/urandom | base64))")
	}
	return key, nil
}

// Sign returns the value of the header webhook-signature.
func Sign(secrets []Secret, id string, at time.Time, body string) string {
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, s)
		fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}

// Endpoints reads the secrets of the configured webhooks.
func Endpoints(configured []config.Webhook) (list []Endpoint, err error) {
	for i, w := range configured {
		e := Endpoint{Name: w.Name, URL: w.URL, Events: w.Events}
		for _, file := range w.SecretFiles {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("webhooks[%d].secret_files: %w", i, err)
			}
			secret, err := ParseSecret(string(text))
			if err != nil {
				return nil, fmt.Errorf("webhooks[%d].secret_files: %s: %w", i, file, err)
			}
			e.Secrets = append(e.Secrets, secret)
		}
		list = append(list, e)
	}
	return list, nil
}
