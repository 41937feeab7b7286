package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
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

	"callscreen/internal/address"
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

// find calls check with the keys that can belong to a signature until one is good: the key with an id, or without an id all
// keys of the right kind. If none is good, the keys are fetched again.
func (k *keySet) find(ctx context.Context, id, alg string, now time.Time, check func(key any) error) error {
	keys, fresh := k.look(id, alg, now)
	refused := firstGood(keys, check)
	if len(keys) > 0 && (refused == nil && fresh || id != "" && fresh) {
		return refused
	}
	// One request fetches the keys. Requests with a cached key continue with it, the others wait.
	switch {
	case k.getting.TryLock():
		k.get(ctx, now)
		k.getting.Unlock()
	case len(keys) == 0 || refused != nil:
		k.getting.Lock()
		k.getting.Unlock() //nolint:staticcheck // waits for the holder
	}
	if keys, _ = k.look(id, alg, now); len(keys) > 0 {
		return firstGood(keys, check)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reason != nil {
		return fmt.Errorf("fetch keys: %w (hint: check auth.jwt.jwks)", k.reason)
	}
	return fmt.Errorf("no key %.40q for %s", id, alg)
}

// firstGood returns nil if check accepts a key, and its last error otherwise.
func firstGood(keys []jose.JSONWebKey, check func(key any) error) (err error) {
	for _, k := range keys {
		if err = check(k.Key); err == nil {
			return nil
		}
	}
	return err
}

// mostTried bounds the keys that are tried for a token without a key id.
const mostTried = 8

// look finds cached keys, and reports whether the cache is fresh.
func (k *keySet) look(id, alg string, now time.Time) (found []jose.JSONWebKey, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.gotAt)
	if age >= keysGoodFor {
		return nil, false
	}
	for _, one := range k.keys {
		if fits(one, alg) && (id == "" || one.KeyID == id) && len(found) < mostTried {
			found = append(found, one)
		}
	}
	if k.client == nil {
		return found, age < keyFileFresh
	}
	return found, age < keysFreshFor
}

// fits reports whether a key can be used for an algorithm.
func fits(k jose.JSONWebKey, alg string) bool {
	if k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return alg == string(jose.RS256) || alg == string(jose.PS256)
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256) && key.Curve == elliptic.P256() || alg == string(jose.ES384) && key.Curve == elliptic.P384()
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
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
		return nil, address.Error(err)
	}
	resp, err := k.client.Do(r)
	if err != nil {
		return nil, address.Error(err)
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
