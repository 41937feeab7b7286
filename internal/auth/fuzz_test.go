package auth

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"callscreen/internal/config"
	"callscreen/internal/testkit"
)

// Invariant: every token is verified quickly, and only signed tokens are accepted.
func FuzzToken(f *testing.F) {
	const secret = "a secret of more than thirty-two bytes"
	const set = `{"keys":[{"kty":"EC","crv":"P-256","kid":"e","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
		`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	file := filepath.Join(f.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(set), 0o600); err != nil {
		f.Fatal(err)
	}
	s := newSigned(config.JWT{
		Secret:   secret,
		JWKS:     file,
		Issuer:   "i",
		Audience: "a",
		Leeway:   time.Second,
	})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, nil)
	if err != nil {
		f.Fatal(err)
	}
	jws, err := signer.Sign([]byte(`{"sub":"sbc","iss":"i","aud":"a","exp":1772370000,"call":"c"}`))
	if err != nil {
		f.Fatal(err)
	}
	good, err := jws.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	if who, err := s.verify(f.Context(), good, now); err != nil || !reflect.DeepEqual(who, Sender{Name: "sbc", Call: "c"}) {
		f.Fatal(who, err)
	}
	e := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	f.Add(good)
	f.Add(e(`{"alg":"none"}`) + "." + strings.Split(good, ".")[1] + ".")
	f.Add(e(`{"alg":"ES256","kid":"e"}`) + "." + e(`{"sub":"x"}`) + "." + strings.Repeat("A", 86))
	f.Add(e(`{"alg":"HS256","b64":false,"crit":["b64"],"jwk":{"kty":"oct","k":"AA"}}`) + ".e30.AA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		defer testkit.Bounded(t)()
		if who, err := s.verify(t.Context(), token, now); err == nil && !reflect.DeepEqual(who, Sender{Name: "sbc", Call: "c"}) {
			t.Errorf("%q is taken as %+v", token, who)
		}
	})
}

// Invariant: any answer for the key set yields a bounded number of public keys, and nothing else.
func FuzzKeys(f *testing.F) {
	f.Add(
		[]byte(
			`{"keys":[{"kty":"EC","crv":"P-256","kid":"e","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
				`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`,
		),
	)
	f.Add(
		[]byte(
			`{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"RSA","n":"AQAB","e":"AQAB"},` +
				`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		),
	)
	f.Add([]byte(`{"keys":[{"x5c":["AA=="]},null,5]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer testkit.Bounded(t)()
		keys, err := parseKeys(data)
		if (err == nil) != (len(keys) > 0) || len(keys) > mostKeys {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if !k.IsPublic() {
				t.Errorf("%+v is no public key", k)
			}
		}
	})
}
