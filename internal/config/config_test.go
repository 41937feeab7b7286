package config_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"callscreen/internal/config"
	"callscreen/internal/testkit"
	"callscreen/policy"
)

// load reads a configuration from text and variables, in a working directory without a configuration file.
func load(t testing.TB, text string, environ ...string) (config.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "callscreen.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(file, environ)
}

func TestDefaultsAreValidAndAreThoseOfTheContract(t *testing.T) {
	c, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, config.Default()) {
		t.Errorf("an empty file changes the defaults: %+v", c)
	}
	if c.Policy.Threshold != 0.6 || c.Analysis.PollMax != 3*time.Second || c.Segment.FirstSpeech != 4*time.Second ||
		c.Retention.Flagged != 720*time.Hour ||
		c.Listen != "127.0.0.1:8080" {
		t.Errorf("%+v", c)
	}
}

func TestFileThenEnvironment(t *testing.T) {
	c, err := load(t, `
policy: {threshold: 0.7, on_unscreened: clear, overrides: [{leg: caller, metadata: {queue: payments}, threshold: 0.5}]}
analysis:
  poll_initial: 1500ms
  max_in_flight: 4
segment: {first_speech: 5s}
`, "CALLSCREEN_ANALYSIS_MAX_IN_FLIGHT=7", "CALLSCREEN_ANALYSIS_RETRY_CLEANED=false", "CALLSCREEN_DATA_DIR=/var/lib/x",
		"CALLSCREEN_SEGMENT_TARGET_SPEECH=12s", "DATASPIKE_API_KEY= k1 ", "CALLSCREEN_PORT_8080_TCP=tcp://10.0.0.1", "HOME=/")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	half := 0.5
	want := config.Default()
	want.Policy.Threshold, want.Policy.OnUnscreened = 0.7, policy.Clear
	want.Policy.Overrides = []policy.Override{{Leg: "caller", Metadata: map[string]string{"queue": "payments"}, Threshold: &half}}
	want.Analysis.PollInitial, want.Analysis.MaxInFlight, want.Analysis.RetryCleaned = 1500*time.Millisecond, 7, false
	want.Segment.FirstSpeech, want.Segment.TargetSpeech = 5*time.Second, 12*time.Second
	want.DataDir, want.Analysis.APIKey = "/var/lib/x", "k1"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestProblemsAreAllNamedAtOnceWithAHint(t *testing.T) {
	for _, c := range []struct {
		name, text string
		environ    []string
		want       []string
	}{
		{"unknown keys", "polcy: {}\nanalysis: {base_ulr: x, pol_max: 3s}\nsegment: {zzzzzzzzzz: 1}", nil, []string{
			"polcy: line 1: there is no such key (hint: did you mean policy?)",
			"analysis.base_ulr: line 2: there is no such key (hint: did you mean analysis.base_url?)",
			"analysis.pol_max: line 2: there is no such key (hint: did you mean analysis.poll_max?)",
			"segment.zzzzzzzzzz: line 3: there is no such key (hint: the keys are first_speech,",
		}},
		{"a secret in the file", "analysis: {api_key: abc}", nil, []string{"analysis.api_key: line 1", "set DATASPIKE_API_KEY"}},
		{"wrong kinds", "analysis: {deadline: soon, max_in_flight: many}\npolicy: 3\nsegment: [1]\nauth: {tokens: [{nam: x}]}", nil, []string{
			"analysis.deadline: line 1",
			"want a duration such as",
			"analysis.max_in_flight: line 1",
			"want a whole number",
			"policy: line 2: must be a section of keys",
			"segment: line 3",
			"auth.tokens[0].nam: line 4: there is no such key (hint: did you mean auth.tokens[0].name?)",
		}},
		{"set twice", "listen: a:1\nlisten: b:1", nil, []string{"listen"}},
		{"no YAML", "a: b: c: [", nil, []string{"file: "}},
		{"variables", "", []string{"CALLSCREEN_ANALYSIS_BASE_ULR=x", "CALLSCREEN_POLICY_NEED=two", "CALLSCREEN_SEGMENT_MAX_DURATION="}, []string{
			"CALLSCREEN_ANALYSIS_BASE_ULR: there is no such key (hint: did you mean CALLSCREEN_ANALYSIS_BASE_URL?)",
			"CALLSCREEN_POLICY_NEED: ", "CALLSCREEN_SEGMENT_MAX_DURATION: ",
		}},
		{"values", `
listen: nowhere
webrtc: {udp_port: 70000}
database: mysql://x
audio: tmp/x
data_dir: ""
analysis: {base_url: "http://api.example.com", poll_initial: 0s, poll_max: -1s, deadline: 0s, max_in_flight: 0, rate_per_second: 0}
segment: {first_speech: 1s, max_duration: 10m}
policy: {threshold: 1.5, need: -1}
retention: {flagged: -1h}
auth: {tokens: [{name: "", roles: [boss], sha256: xyz}]}
`, nil, []string{
			"listen: \"nowhere\"",
			"webrtc.udp_port: is 70000",
			"database: is not a PostgreSQL URL",
			"audio: \"tmp/x\"",
			"data_dir: is empty",
			"analysis.base_url: would send the key and the audio unencrypted",
			"analysis.poll_initial:",
			"analysis.poll_max:",
			"analysis.deadline:",
			"analysis.max_in_flight:",
			"analysis.rate_per_second:",
			"segment.first_speech: is 1s, less than min_speech",
			"segment.max_duration: is 10m0s, must be at most",
			"policy.threshold: is 1.5",
			"policy.need: is -1",
			"retention.flagged:",
			"auth.tokens[0].name",
			"auth.tokens[0].roles: \"boss\" is not a role",
			"auth.tokens[0].sha256",
		}},
		{"who may do what", `
auth:
  tokens: [{name: machine, roles: [viewer], sha256: ` + strings.Repeat("ab", 32) + `}]
  session: {idle: 1s, max: 0s}
  trusted_proxies: [10.0.0.1]
  groups: [{group: "", roles: []}, {group: a, roles: [boss]}]
  proxy: {groups_header: "X Groups", roles: [boss]}
  oidc: {issuer: "http://login.example.com", redirect_url: "https://h/elsewhere", scopes: [email], name_claim: "", groups_claim: ""}
`, nil, []string{
			"auth.tokens[0].name: must not be \"machine\"",
			"auth.session.idle: is 1s",
			"auth.session.max: is 0s",
			"auth.trusted_proxies: \"10.0.0.1\" is not a network",
			"auth.groups[0].group: is empty",
			"auth.groups[0].roles: is empty",
			"auth.groups[1].roles: \"boss\" is not a role",
			"auth.proxy.roles: \"boss\" is not a role",
			"auth.proxy.groups_header: \"X Groups\" is not a header name",
			"auth.proxy.user_header: is empty, but",
			"auth.oidc.issuer: would sign people in unencrypted",
			"auth.oidc.redirect_url: must have the path",
			"auth.oidc.client_id: is empty",
			"auth.oidc.scopes: openid is missing",
			"auth.oidc.name_claim: is empty",
			"auth.oidc.roles: users who sign in",
		}},
		{
			"a proxy header that any client could set",
			"auth: {proxy: {user_header: X-User}}",
			nil,
			[]string{"auth.trusted_proxies: is empty, but auth.proxy.user_header is not"},
		},
		{
			"a proxy that is of no use",
			"auth: {trusted_proxies: [10.0.0.0/8], proxy: {user_header: X-User, groups_header: X-Groups}}",
			nil,
			[]string{"auth.proxy.roles: users of the proxy"},
		},
		{
			"a client secret in the file",
			"auth: {oidc: {client_secret: abc}}",
			nil,
			[]string{"auth.oidc.client_secret: line 1", "set CALLSCREEN_OIDC_CLIENT_SECRET"},
		},
		{
			"a client secret that is not there",
			"auth: {oidc: {client_secret_file: /nothing/here}}",
			nil,
			[]string{"auth.oidc.client_secret_file: "},
		},
		{
			"a plan by which no leg is clear",
			"analysis: {enough_speech: 2s, recheck: 0s}",
			nil,
			[]string{"analysis.enough_speech: is 2s, less than policy.min_speech 3s", "analysis.recheck: is 0s"},
		},
		{"records that are gone at once", "retention: {records: 1h}", nil, []string{"retention.records: is less than 24h"}},
		{"an invalid key", "", []string{"CALLSCREEN_AUDIO_KEY=x"}, []string{"audio_key_file: holds no age keys"}},
		{"a key in the file", "audio_key: x", nil, []string{"audio_key: line 1", "set CALLSCREEN_AUDIO_KEY or audio_key_file"}},
		{"servers of ICE", "webrtc: {ice_servers: [example.com, 'http://example.com', 'turn:example.com']}", nil, []string{
			"webrtc.ice_servers: \"example.com\" is not a STUN or TURN URI",
			"webrtc.ice_servers: \"http://example.com\"",
			"webrtc.turn_secret_file: TURN servers require credentials",
		}},
		{"secrets in addresses", "webrtc: {ice_servers: ['turn:me:guess@example.com'], whep_allow: ['https://a.test/guess']}", nil, []string{
			"webrtc.ice_servers: \"turn:[redacted]@example.com\"",
			"webrtc.whep_allow: \"https://a.test/[redacted]\"",
		}},
		{
			"a name at no TURN server",
			"webrtc: {ice_servers: ['stun:example.com'], turn_username: me}",
			nil,
			[]string{"webrtc.turn_username: is set, but"},
		},
		{"a TURN secret in the file", "webrtc: {turn_secret: abc}", nil, []string{"webrtc.turn_secret: line 1", "set CALLSCREEN_TURN_SECRET"}},
		{
			"logs",
			"log: {level: loud, format: xml}",
			nil,
			[]string{"log.level: \"loud\" is not a log level", "log.format: \"xml\" is not a log format"},
		},
		{"traces", "trace: {endpoint: collector:4318}", nil, []string{"trace.endpoint: \"collector:4318\" is not an http or https URL"}},
		{"traces with credentials", "trace: {endpoint: 'http://a:b@c'}", nil, []string{"trace.endpoint: must not contain credentials"}},
		{"sample rate", "segment: {sample_rate: 44100}", nil, []string{"segment.sample_rate: is 44100 Hz"}},
		{"credentials in the address", "analysis: {base_url: 'https://a:b@c'}", nil, []string{"analysis.base_url: must not contain credentials"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := load(t, c.text, c.environ...)
			if err == nil {
				err = got.Validate()
			}
			var ps config.Problems
			if !errors.As(err, &ps) {
				t.Fatalf("error is %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in:\n%v", want, err)
				}
			}
			for _, p := range ps {
				if strings.Contains(p.Error(), "\n") || p.Hint == "" || p.Path == "" {
					t.Errorf("not one line with a path and a hint: %q", p.Error())
				}
			}
		})
	}
}

func TestAFileThatIsNamedMustBeThere(t *testing.T) {
	if _, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error is %v", err)
	}
	t.Chdir(t.TempDir())
	if _, err := config.Load("", nil); err != nil {
		t.Errorf("without %s: %v", config.DefaultFile, err)
	}
	if err := os.WriteFile(config.DefaultFile, []byte("policy: {threshold: 0.9}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load("", nil); err != nil || c.Policy.Threshold != 0.9 {
		t.Errorf("with it: %v %v", c.Policy.Threshold, err)
	}
}

func TestAPIKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	text := "analysis: {api_key_file: " + file + "}"
	if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), "analysis.api_key_file") {
		t.Errorf("missing file: %v", err)
	}
	for content, want := range map[string]string{"k2\n": "k2", " \n": ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := load(t, text)
		if c.Analysis.APIKey.Reveal() != want || (err == nil) != (want != "") {
			t.Errorf("%q: key %q, error %v", content, c.Analysis.APIKey.Reveal(), err)
		}
	}
	if c, err := load(t, text, "DATASPIKE_API_KEY=k1"); err != nil || c.Analysis.APIKey.Reveal() != "k1" {
		t.Errorf("the variable does not win: %v", err)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	c, err := load(t, "database: postgres://u:hunter2@h/d", "DATASPIKE_API_KEY=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%v %+v %#v %s", c, c, c, c.Analysis.APIKey)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "config", c, "key", c.Analysis.APIKey)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "config", c, "key", c.Analysis.APIKey)
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("shown in:\n%s", b.String())
	}
	if !strings.Contains(b.String(), "[redacted]") {
		t.Error("the redacted value is not marked")
	}
}

func TestReferenceIsAValidFileOfTheDefaults(t *testing.T) {
	var b bytes.Buffer
	if err := config.Describe(&b); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, b.String())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, config.Default()) {
		t.Errorf("got  %+v\nwant %+v", c, config.Default())
	}
	for i, line := range strings.Split(b.String(), "\n") {
		if strings.HasSuffix(strings.TrimSpace(line), "#") {
			t.Errorf("line %d of the reference has no text: %q", i+1, line)
		}
	}
}

func TestPrintCanBeLoadedAgain(t *testing.T) {
	c, err := load(
		t,
		"policy: {overrides: [{leg: agent, need: 2}]}\nauth: {tokens: [{name: pbx, roles: [ingest], sha256: "+strings.Repeat("ab", 32)+"}]}",
	)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	again, err := load(t, b.String())
	if err != nil || !reflect.DeepEqual(c, again) {
		t.Errorf("%v\ngot  %+v\nwant %+v\n%s", err, again, c, b.String())
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("policy: {threshold: 0.7}\nsegment: {first_speech: 5s}", "CALLSCREEN_POLICY_NEED=2")
	f.Add("a: &x [*x]", "CALLSCREEN_AUTH_TOKENS=[{name: a}]")
	f.Add("analysis: {<<: {base_url: x}}", "CALLSCREEN_ANALYSIS=1")
	var b bytes.Buffer
	_ = config.Describe(&b)
	f.Add(b.String(), "DATASPIKE_API_KEY=x")
	f.Fuzz(func(t *testing.T, text, variable string) {
		defer testkit.Bounded(t)()
		c, err := load(t, text, variable)
		if err != nil {
			if !errors.As(err, new(config.Problems)) {
				t.Errorf("error is not of type Problems: %v", err)
			}
			return
		}
		_ = c.Validate()
	})
}

// A user whose two tokens have different roles would have those of either, once signed in.
func TestTokensOfOneNameHaveOneRole(t *testing.T) {
	token := func(role, secret string) config.Token {
		return config.Token{Name: "anna", Roles: []string{role}, SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(secret)))}
	}
	for role, valid := range map[string]bool{"viewer": true, "admin": false} {
		c := config.Default()
		c.Auth.Tokens = []config.Token{token("viewer", "old"), token(role, "new")}
		if err := c.Validate(); (err == nil) != valid {
			t.Errorf("viewer and %s: %v", role, err)
		}
	}
}
