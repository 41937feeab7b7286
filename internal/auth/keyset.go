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

// keySet are the public keys of who signs tokens, RFC 7517, from a file or a web address.
type keySet struct {
	from   string
	client *http.Client // nil: from is a file

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	gotAt  time.Time // of keys
	tried  time.Time // to get them, whatever came of it
	reason error     // why the last try failed

	getting sync.Mutex // held while they are asked for
}

const (
	keysFreshFor = 10 * time.Minute // then they are asked for again
	// keysGoodFor is how long they count while they cannot be had again. Then nobody knows whether one was withdrawn.
	keysGoodFor = 24 * time.Hour
	// keysAgain is how long it is waited at least before they are asked for again, when a key is not among them or they
	// could not be had: anybody can make tokens up.
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
			// Where the keys are is configured; another place could be one that is not encrypted.
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return errors.New("the address of the keys leads elsewhere")
			},
		}
	}
	return k
}

// find is the key that a token names. Without a name the only one of its kind is meant.
func (k *keySet) find(ctx context.Context, id, alg string, now time.Time) (*jose.JSONWebKey, error) {
	key, fresh := k.look(id, alg, now)
	if key != nil && fresh {
		return key, nil
	}
	// One request goes for the keys; those that have one go on with it, the others wait.
	switch {
	case k.getting.TryLock():
		k.get(ctx, now)
		k.getting.Unlock()
	case key == nil:
		k.getting.Lock()
		k.getting.Unlock() //nolint:staticcheck // it is waited for who has it
	}
	if key, _ = k.look(id, alg, now); key != nil {
		return key, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reason != nil {
		return nil, fmt.Errorf("the keys cannot be had: %w (hint: check auth.jwt.jwks)", k.reason)
	}
	return nil, fmt.Errorf("there is no key %.40q for %s", id, alg)
}

// look finds a key among those that are here, and tells whether they are fresh.
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
			return nil, true // which one is meant is not clear
		}
		found = one
	}
	if k.client == nil {
		return found, age < keyFileFresh
	}
	return found, age < keysFreshFor
}

// fits tells whether a key may be used for an algorithm.
func fits(k *jose.JSONWebKey, alg string) bool {
	if k.Algorithm != "" {
		return k.Algorithm == alg
	}
	return true // a key of another kind does not verify anything
}

// get asks for the keys, if that is not too often. If it fails the old ones stay.
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
	// Also when the one who asked goes away: others wait for it.
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

// parseKeys takes the public keys for signatures out of a set. Keys of kinds that are not known here are no error.
func parseKeys(data []byte) (keys []jose.JSONWebKey, err error) {
	if len(data) > mostKeysBytes {
		return nil, fmt.Errorf("the keys take more than %d bytes", mostKeysBytes)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") && len(keys) < mostKeys {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public key for signatures among them")
	}
	return keys, nil
}
