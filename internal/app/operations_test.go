package app_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
)

const operations = "../../docs/operations"

var (
	metricName = regexp.MustCompile(`\bcallscreen_[a-z_]+`)
	partOf     = regexp.MustCompile(`_(bucket|sum|count)$`) // of a histogram
)

// expressions returns the expressions of all alerts and panels by their names.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	read(t, "alerts.yaml", func(data []byte) error { return yaml.Unmarshal(data, &rules) })
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			all["alert "+r.Alert] = r.Expr
			if r.Annotations["action"] == "" || r.Annotations["summary"] == "" ||
				!slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
				t.Errorf("alert %s lacks a summary, an action or a severity", r.Alert)
			}
		}
	}
	var board struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	read(t, "grafana-dashboard.json", func(data []byte) error { return json.Unmarshal(data, &board) })
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all["panel "+p.Title] += target.Expr + "\n"
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %s has no expression", p.Title)
		}
	}
	if len(all) < 30 {
		t.Errorf("only %d alerts and panels", len(all))
	}
	return all
}

func read(t *testing.T, name string, into func([]byte) error) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(operations, name))
	if err == nil {
		err = into(data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// All metrics that alerts, panels and docs/operating.md name exist, and docs/operating.md lists all metrics.
func TestAlertsPanelsAndManualNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) {
		c.Webhooks = []config.Webhook{{Name: "crm", URL: "http://127.0.0.1:1/", Events: []string{"call.flagged"}, SecretFiles: []string{secret}}}
	})
	f := s.scrape()
	for where, expr := range expressions(t) {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 && where != "alert CallscreenDown" {
			t.Errorf("%s names no metric: %s", where, expr)
		}
		for _, n := range names {
			if f[n] == nil && f[partOf.ReplaceAllString(n, "")] == nil {
				t.Errorf("%s names metric %s, which does not exist", where, n)
			}
		}
	}
	manual, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, n := range metricName.FindAllString(string(manual), -1) {
		told[n] = true
		if f[n] == nil {
			t.Errorf("docs/operating.md names metric %s, which does not exist", n)
		}
	}
	for n, family := range f {
		if strings.HasPrefix(n, "callscreen_") && !told[n] {
			t.Errorf("docs/operating.md lacks\n| `%s` | %s |", n, family.GetHelp())
		}
	}
}

// The alerts are valid, and two of them fire when they should.
func TestAlertsWithPromtool(t *testing.T) {
	promtool := os.Getenv("CALLSCREEN_PROMTOOL")
	if promtool == "" {
		promtool = "promtool"
	}
	promtool, err := exec.LookPath(promtool)
	if err != nil {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" && os.Getenv("CALLSCREEN_PROMTOOL") != "" {
			t.Fatal(err)
		}
		t.Skip("promtool is not installed")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = operations
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
