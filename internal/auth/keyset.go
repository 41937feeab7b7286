package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keySet holds the public keys of a token issuer, RFC 7517, from a file or a URL.
type keySet struct {
	from   string
	client *http.Client // nil if from is a file

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	gotAt  time.Time // time of the keys
	tried  time.Time // time of the last attempt
	reason error     // error of the last attempt

	getting sync.Mutex // held during a fetch
}

const (
	keysFreshFor = 10 * time.Minute // then the keys are fetched again
	// keysGoodFor is the lifetime of keys that cannot be fetched again. After that a key may have been revoked unnoticed.
	keysGoodFor = 24 * time.Hour
	// keysAgain is the minimum interval between fetches after a missing key or a failure: any client can send tokens with
	// made-up key ids.
	keysAgain     = 10 * time.Second
	keyFileFresh  = 2 * time.Second
	mostKeys      = 100
	mostKeysBytes = 256 << 10
)

func newKeySet(from string) *keySet {
	k := &keySet{from: from}
	if strings.Contains(from, "://") {
		k.client = &http.Client{
			Timeout: ssoAnswers,
			// Do not follow redirects: the target might be unencrypted.
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return errors.New("the URL of the keys redirects")
			},
		}
	}
	return k
}

// find returns the key with an id. Without an id, the only key of the right kind is used.
func (k *keySet) find(ctx context.Context, id, alg string, now time.Time) (*jose.JSONWebKey, error) {
	key, fresh := k.look(id, alg, now)
	if key != nil && fresh {
		return key, nil
	}
	// One request fetches the keys. Requests with a cached key continue with it, the others wait.
	switch {
	case k.getting.TryLock():
		k.get(ctx, now)
		k.getting.Unlock()
	case key == nil:
		k.getting.Lock()
		k.getting.Unlock() //nolint:staticcheck // waits for the holder
	}
	if key, _ = k.look(id, alg, now); key != nil {
		return key, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reason != nil {
		return nil, fmt.Errorf("fetch keys: %w (hint: check auth.jwt.jwks)", k.reason)
	}
	return nil, fmt.Errorf("no key %.40q for %s", id, alg)
}

// look finds a cached key, and reports whether the cache is fresh.
func (k *keySet) look(id, alg string, now time.Time) (found *jose.JSONWebKey, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.gotAt)
	if age >= keysGoodFor {
		return nil, false
	}
	for i := range k.keys {
		one := &k.keys[i]
		if !fits(one, alg) || id != "" && one.KeyID != id {
			continue
		}
		if found != nil && id == "" {
			return nil, true // ambiguous
		}
		found = one
	}
	if k.client == nil {
		return found, age < keyFileFresh
	}
	return found, age < keysFreshFor
}

// fits reports whether a key can be used for an algorithm.
func fits(k *jose.JSONWebKey, alg string) bool {
	if k.Algorithm != "" {
		return k.Algorithm == alg
	}
	return true // a key of another kind does not verify anything
}

// get fetches the keys, unless the last attempt was too recent. After an error the old keys stay.
func (k *keySet) get(ctx context.Context, now time.Time) {
	again := keysAgain
	if k.client == nil {
		again = keyFileFresh
	}
	k.mu.Lock()
	due := now.Sub(k.tried) >= again || k.tried.IsZero()
	if due {
		k.tried = now
	}
	k.mu.Unlock()
	if !due {
		return
	}
	// The fetch continues if its request ends: other requests wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ssoAnswers)
	defer cancel()
	keys, err := k.read(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reason = err; err == nil {
		k.keys, k.gotAt = keys, now
	}
}

func (k *keySet) read(ctx context.Context) ([]jose.JSONWebKey, error) {
	in, err := k.open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, mostKeysBytes+1))
	if err != nil {
		return nil, err
	}
	return parseKeys(data)
}

func (k *keySet) open(ctx context.Context) (io.ReadCloser, error) {
	if k.client == nil {
		return os.Open(k.from)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return resp.Body, nil
}

// parseKeys returns the public signature keys of a set. Keys of unknown kinds are skipped.
func parseKeys(data []byte) (keys []jose.JSONWebKey, err error) {
	if len(data) > mostKeysBytes {
		return nil, fmt.Errorf("the keys have more than %d bytes", mostKeysBytes)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("parse keys: %w", err)
	}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") && len(keys) < mostKeys {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the set has no public signature key")
	}
	return keys, nil
}
