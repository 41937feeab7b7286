package hook_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"callscreen/internal/config"
	"callscreen/internal/hook"
)

// The example of the specification.
func TestSignatureOfTheDocumentedExample(t *testing.T) {
	got := hook.Sign([]hook.Secret{secret(t, oldSecret)}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), `{"test": 2432232314}`)
	if got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
}

// The library that receivers use verifies a delivered message, with the old secret and with the new one.
func TestReceiversVerifyWhatIsSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ secrets, accepted, refused []string }{
		"one secret":         {[]string{oldSecret}, []string{oldSecret}, []string{newSecret, noSecret}},
		"in the changeover":  {[]string{oldSecret, newSecret}, []string{oldSecret, newSecret}, []string{noSecret}},
		"after it":           {[]string{newSecret}, []string{newSecret}, []string{oldSecret, noSecret}},
		"in the other order": {[]string{newSecret, oldSecret}, []string{oldSecret, newSecret}, []string{noSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, e := newRig(t, nil), newEndpoint(t, nil)
			to := hook.Endpoint{Name: "crm", URL: e.url}
			for _, s := range c.secrets {
				to.Secrets = append(to.Secrets, secret(t, s))
			}
			r.run(hook.Config{Endpoints: []hook.Endpoint{to}, UserAgent: "callscreen/test"})
			r.tell("msg_1", "crm")
			got := e.next(t)
			for _, s := range c.accepted {
				if err := verify(t, s, got); err != nil {
					t.Errorf("with %s: %v", s, err)
				}
			}
			for _, s := range c.refused {
				if verify(t, s, got) == nil {
					t.Errorf("%s fits too", s)
				}
			}
			changed := got
			changed.body = strings.Replace(got.body, "flagged", "cleared", 1)
			if verify(t, c.accepted[0], changed) == nil {
				t.Error("another body fits too")
			}
			h := got.header
			if h.Get("webhook-id") != "msg_1" || h.Get("webhook-timestamp") != strconv.FormatInt(r.now().Unix(), 10) ||
				len(strings.Fields(h.Get("webhook-signature"))) != len(c.secrets) {
				t.Errorf("%v", h)
			}
			if h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "callscreen/test" ||
				got.body != `{"type":"call.flagged","id":"msg_1"}` {
				t.Errorf("%v %s", h, got.body)
			}
			if d := r.next(); d.State != "delivered" || d.LastStatus != 200 || d.Attempts != 1 {
				t.Errorf("%+v", d)
			}
		})
	}
}

func verify(t *testing.T, secret string, r request) error {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return wh.Verify([]byte(r.body), r.header)
}

func TestParseSecret(t *testing.T) {
	const good = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // 24 bytes
	for text, bytes := range map[string]int{
		"whsec_" + good:                           24,
		" whsec_" + good + "\n":                   24, // as a file has it
		"whsec_" + strings.Repeat("A", 86) + "==": 64,
		newSecret:            32,
		"":                   0,
		good:                 0,
		"whsec_":             0,
		"whsec_" + good[:28]: 0, // 21 bytes
		"whsec_" + strings.Repeat("A", 84) + "AAAA":   0, // 66 bytes
		"whsec_" + strings.Repeat("!", 32):            0,
		"whsec_" + strings.Repeat("A", 43):            0, // 32 bytes without their padding
		"WHSEC_" + good:                               0,
		"whsec_" + strings.Repeat("-_", 16):           0, // the other alphabet
		"whsec_" + good + " whsec_" + good:            0,
		"whsk_" + strings.Repeat("A", 43) + "=":       0, // of the asymmetric kind
		"whsec_" + strings.Repeat("A", 31) + "\x00":   0,
		"Bearer " + strings.Repeat("A", 40) + "=====": 0,
	} {
		s, err := hook.ParseSecret(text)
		if bytes > 0 && (err != nil || len(s) != bytes) || bytes == 0 && err == nil {
			t.Errorf("%q: %d bytes, %v", text, len(s), err)
		}
		if err != nil &&
			(!strings.Contains(err.Error(), "(hint: ") || strings.Contains(err.Error(), "AAA") || strings.Contains(err.Error(), good)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestEndpointsReadTheirSecrets(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b, bad := file("a", oldSecret+"\n"), file("b", newSecret), file("bad", "topsecret")
	list, err := hook.Endpoints(
		[]config.Webhook{
			{Name: "one", URL: "http://x", Events: []string{"call.flagged"}, SecretFiles: []string{a, b}},
			{Name: "two", URL: "http://y", SecretFiles: []string{b}},
		},
	)
	if err != nil || len(list) != 2 || len(list[0].Secrets) != 2 || list[0].Name != "one" || list[0].URL != "http://x" ||
		list[0].Events[0] != "call.flagged" ||
		string(list[1].Secrets[0]) != string(list[0].Secrets[1]) {
		t.Errorf("%+v %v", list, err)
	}
	for _, c := range []struct{ file, want string }{{bad, bad}, {filepath.Join(dir, "none"), "no such file"}} {
		_, err := hook.Endpoints([]config.Webhook{{Name: "one", SecretFiles: []string{a}}, {Name: "two", SecretFiles: []string{c.file}}})
		if err == nil || !strings.Contains(err.Error(), "webhooks[1].secret_files") || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "topsecret") {
			t.Error(err)
		}
	}
}

func TestSubscribers(t *testing.T) {
	d := hook.NewDispatcher(
		hook.Config{Endpoints: []hook.Endpoint{{Name: "a", Events: []string{"x", "y"}}, {Name: "b", Events: []string{"y"}}}},
	)
	for event, want := range map[string]string{"x": "a", "y": "a b", "z": ""} {
		if got := strings.Join(d.Subscribers(event), " "); got != want {
			t.Errorf("%s: %q", event, got)
		}
	}
}
