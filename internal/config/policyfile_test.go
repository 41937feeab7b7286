package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"callscreen/internal/config"
	"callscreen/policy"
)

func loadPolicy(t *testing.T, text string) (policy.Policy, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.LoadPolicy(file)
}

func TestAPolicyFileHoldsTheKeysOfTheSection(t *testing.T) {
	t.Setenv("CALLSCREEN_POLICY_THRESHOLD", "0.9") // must not override the file under test
	half, need := 0.5, 2
	want := policy.Default()
	want.Threshold, want.Need, want.MinSpeech = 0.7, 2, 5*time.Second
	want.Overrides = []policy.Override{{Leg: "caller", Metadata: map[string]string{"queue": "payments"}, Threshold: &half, Need: &need}}
	got, err := loadPolicy(
		t,
		"threshold: 0.7\nneed: 2\nmin_speech: 5s\noverrides: [{leg: caller, metadata: {queue: payments}, threshold: 0.5, need: 2}]\n",
	)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %v\nwant %+v", got, err, want)
	}
	for _, empty := range []string{"", " \n", "# nothing\n", "---\n"} {
		if got, err := loadPolicy(t, empty); err != nil || !reflect.DeepEqual(got, policy.Default()) {
			t.Errorf("%q: %+v %v", empty, got, err)
		}
	}
}

func TestEveryProblemOfAPolicyFileIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown keys": {"treshold: 0.7\nclear_bellow: 0.1", []string{
			"new.yaml: treshold: line 1: there is no such key (hint: did you mean threshold?)",
			"clear_bellow: line 2: there is no such key (hint: did you mean clear_below?)",
		}},
		"a whole configuration": {
			"policy: {threshold: 0.7}",
			[]string{"policy: line 1: there is no such key (hint: write the keys below it alone"},
		},
		"wrong kinds": {
			"threshold: high\nmin_speech: 3",
			[]string{"threshold: line 1", "want a number", "min_speech: line 2", "want a duration"},
		},
		"wrong values": {"threshold: 1.5\nneed: -1", []string{"threshold: is 1.5, must be within 0..1", "need: is -1"}},
		"an unknown override": {
			"overrides: [{leg: a}, {leg: b, treshold: 0.5}]",
			[]string{"overrides[1].treshold: line 1: there is no such key (hint: did you mean overrides[1].threshold?)"},
		},
		"set twice": {"need: 1\nneed: 2", []string{"need: line 2: is set twice"}},
		"a list":    {"- 1", []string{"file: line 1: must be a section of keys"}},
		"no YAML":   {"a: b: [", []string{"file: "}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadPolicy(t, c.text)
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in\n%v", want, err)
				}
			}
		})
	}
	if _, err := config.LoadPolicy(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}
