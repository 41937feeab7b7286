package internal_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"callscreen/internal/config"
	"callscreen/policy"
)

// documents returns the pages of the repository, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	read := func(path string) error {
		data, err := os.ReadFile(path)
		if err == nil {
			pages[filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))] = string(data)
		}
		return err
	}
	err := errors.Join(
		read(filepath.Join("..", "README.md")),
		read(filepath.Join("..", "CHANGELOG.md")),
		read(filepath.Join("..", "CONTRIBUTING.md")),
		read(filepath.Join("..", "SECURITY.md")),
		filepath.WalkDir(filepath.Join("..", "docs"), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".md") {
				err = read(path)
			}
			return err
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 8 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fence   = regexp.MustCompile("(?ms)^```(\\w*)[^\n]*\n(.*?)^```")
	notWord = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the anchors of the headings of a page, as common viewers create them.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		all = append(all, strings.ReplaceAll(notWord.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

func TestLinksOfTheDocumentsLead(t *testing.T) {
	pages := documents(t)
	seen := 0
	for name, page := range pages {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), file))
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
			}
			if anchor != "" && !slices.Contains(anchors(pages[target]), anchor) {
				t.Errorf("%s: %s: there is no such heading", name, m[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d links were found", seen)
	}
}

// Every command line of the documents is valid: verbs, flags and make targets exist.
func TestCommandsOfTheDocumentsExist(t *testing.T) {
	program := filepath.Join(t.TempDir(), "callscreen")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "callscreen/cmd/callscreen")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped, under the race detector too
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	help := map[string]string{}
	helpOf := func(verb string) string {
		if help[verb] == "" {
			out, err := exec.CommandContext(t.Context(), program, append(strings.Fields(verb), "--help")...).CombinedOutput()
			if err != nil {
				out = nil
			}
			help[verb] = string(out) + " "
		}
		return help[verb]
	}
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`(?:^|[\s/])callscreen ([a-z]+)((?: [^\s|&;#]+)*)`)
	run := regexp.MustCompile("(?:^|[\\s`])make ([a-z][a-z0-9-]*)")
	option := regexp.MustCompile(`(?:^| )--([a-z][a-z-]+)`)
	verbs := 0
	for name, page := range documents(t) {
		for _, line := range commands(page) {
			for _, m := range run.FindAllStringSubmatch(line, -1) {
				if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
					t.Errorf("%s: %q: there is no target %s", name, line, m[1])
				}
			}
			for _, m := range call.FindAllStringSubmatch(line, -1) {
				verbs++
				verb, rest := m[1], m[2]
				if sub := strings.Fields(rest); len(sub) > 0 && strings.Contains(helpOf(verb), "\n  "+sub[0]+" ") {
					verb += " " + sub[0]
				}
				if !strings.Contains(helpOf(m[1]), "Usage:\n  callscreen "+m[1]) {
					t.Errorf("%s: %q: there is no verb %s", name, line, m[1])
				}
				for _, f := range option.FindAllStringSubmatch(rest, -1) {
					if f[1] != "help" && !regexp.MustCompile(`--`+f[1]+`\b`).MatchString(helpOf(verb)) {
						t.Errorf("%s: %q: %s has no flag --%s", name, line, verb, f[1])
					}
				}
			}
		}
	}
	if verbs < 20 {
		t.Errorf("only %d commands were found", verbs)
	}
}

// commands returns the lines of the shell blocks of a page, and the texts between backticks.
func commands(page string) (lines []string) {
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		if m[1] == "sh" {
			lines = append(lines, strings.Split(strings.ReplaceAll(m[2], "\\\n", ""), "\n")...)
		}
	}
	for _, m := range regexp.MustCompile("`((?:bin/)?callscreen [a-z]+[^`]*|make [a-z]+[^`]*)`").FindAllStringSubmatch(
		fence.ReplaceAllString(page, ""),
		-1,
	) {
		lines = append(lines, m[1])
	}
	return lines
}

// Every YAML block is a valid part of a configuration, or a policy file.
func TestConfigurationOfTheDocumentsIsUnderstood(t *testing.T) {
	blocks := 0
	for name, page := range documents(t) {
		for _, m := range fence.FindAllStringSubmatch(page, -1) {
			if m[1] != "yaml" {
				continue
			}
			blocks++
			file := filepath.Join(t.TempDir(), "callscreen.yaml")
			if err := os.WriteFile(file, []byte(m[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(file, nil); err != nil {
				if _, policyErr := config.LoadPolicy(file); policyErr != nil {
					t.Errorf("%s: %v\n%s", name, err, m[2])
				}
			}
		}
	}
	if blocks < 4 {
		t.Errorf("only %d blocks were found", blocks)
	}
}

var example = regexp.MustCompile(`(?m)^\| (\{.*\})? ?\| ((?:caller|agent) .*) \| (\w+) \| (\w+) \|$`)

// The tables of docs/policy.md agree with the decisions of the policy.
func TestPolicyExamplesAreTrue(t *testing.T) {
	rows := example.FindAllStringSubmatch(documents(t)["docs/policy.md"], -1)
	if len(rows) < 20 {
		t.Fatalf("only %d examples were found", len(rows))
	}
	for _, row := range rows {
		file := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(file, []byte(row[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := config.LoadPolicy(file)
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		d := p.Decide(findings(t, row[2]), map[string]string{"queue": "payments"})
		if d.Outcome.String() != row[3] || !slices.Contains(d.Reasons, row[4]) {
			t.Errorf("%s: is %v %v", row[0], d.Outcome, d.Reasons)
		}
	}
}

func findings(t *testing.T, text string) (all []policy.Finding) {
	t.Helper()
	next := map[string]int{}
	for part := range strings.SplitSeq(text, ", ") {
		words := strings.Fields(part)
		if len(words) != 3 {
			t.Fatalf("%q is no finding", part)
		}
		speech, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		f := policy.Finding{Leg: words[0], Seq: next[words[0]], Speech: speech}
		next[words[0]]++
		switch words[2] {
		case "pending":
		case "failed":
			f.State, f.Reason = policy.Failed, "timeout"
		case "skipped":
			f.State, f.Reason = policy.Skipped, "too_little_speech"
		default:
			f.State = policy.Scored
			if f.Score, err = strconv.ParseFloat(words[2], 64); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, f)
	}
	return all
}

// The deployment files are well-formed, and their stop timeout is longer than the drain.
func TestDeploymentsAreWellFormed(t *testing.T) {
	docker := filepath.Join("..", "docs", "deploy", "docker", "compose.yaml")
	kubernetes := filepath.Join("..", "docs", "deploy", "kubernetes", "callscreen.yaml")
	for _, file := range []string{docker, kubernetes, filepath.Join("..", "docs", "deploy", "nfpm.yaml")} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		loader, err := yaml.NewLoader(f, yaml.WithUniqueKeys(true))
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; ; n++ {
			var doc map[string]yaml.Node
			if err := loader.Load(&doc); err != nil {
				if n == 0 || err.Error() != "EOF" {
					t.Errorf("%s: %v", file, err)
				}
				break
			}
			if data, ok := doc["data"]; ok && strings.HasSuffix(file, "kubernetes/callscreen.yaml") {
				var files map[string]string
				if err := data.Decode(&files); err != nil {
					t.Fatal(err)
				}
				loads(t, files["callscreen.yaml"])
			}
		}
	}
	shipped, err := os.ReadFile(filepath.Join("..", "docs", "deploy", "callscreen.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	loads(t, string(shipped))
	for file, pattern := range map[string]string{
		docker:     `stop_grace_period: (\d+)s`,
		kubernetes: `terminationGracePeriodSeconds: (\d+)`,
		unit:       `TimeoutStopSec=(\d+)`,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindSubmatch(text)
		if m == nil {
			t.Errorf("%s does not say how long it may take to stop", file)
		} else if seconds, _ := strconv.Atoi(string(m[1])); seconds < 40 {
			t.Errorf("%s: %s, but the drain takes 30 s and the rest some more", file, m[0])
		}
	}
}

// loads checks that a configuration is complete except for the key, which is a file on another machine.
func loads(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "callscreen.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(file, nil)
	var ps config.Problems
	if text == "" || err != nil && !errors.As(err, &ps) {
		t.Fatal(text, err)
	}
	for _, p := range ps {
		if p.Path != "analysis.api_key_file" {
			t.Error(p)
		}
	}
}

var unit = filepath.Join("..", "docs", "deploy", "systemd", "callscreen.service")

// systemdAnalyze is the program that verifies units.
func systemdAnalyze(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil && os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
		t.Fatal("systemd-analyze is not installed (hint: .ci/run installs systemd)")
	} else if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	return program
}

// systemd accepts every line of the unit. It only warns about unknown lines.
func TestUnitIsUnderstood(t *testing.T) {
	program := systemdAnalyze(t)
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(t.TempDir(), "callscreen.service")
	there := strings.NewReplacer("/usr/bin/callscreen ", self+" ", "/bin/kill ", self+" ").Replace(string(text)) // it looks for the programs
	if err := os.WriteFile(installed, []byte(there), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "verify", "--man=no", installed).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUnitIsSandboxed(t *testing.T) {
	program := systemdAnalyze(t)
	out, err := exec.CommandContext(t.Context(), program, "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if exposure, err := strconv.ParseFloat(string(m[1]), 64); err != nil || exposure > 2 {
		t.Errorf("the exposure is %s, want 2.0 or better", m[1])
	}
	t.Logf("exposure %s", m[1])
}
