package simulation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutation is a defect of the core that the simulation must find.
type mutation struct {
	name, file string
	old, new   string
}

var mutations = []mutation{
	{
		"the fence is dropped", "internal/store/store.go",
		"if err := t.fence(ctx); err != nil {", "if err := t.fence(ctx); err != nil && false {",
	},
	{
		"an upload of unknown outcome is repeated without limit", "internal/store/submission.go",
		"case resend && s.Resent == 0 || s.Resent < 0:", "case resend:",
	},
	{
		"the spool entry is removed before it is delivered", "internal/screen/delivery.go",
		"	known, err := c.cfg.Decider.known(ctx, id)", "	_ = c.remove(id)\n	known, err := c.cfg.Decider.known(ctx, id)",
	},
	{
		"a wrong job is believed", "analyzer/request.go",
		"|| job.ID != \"\" && job.ID != id {", "{",
	},
	{
		"the backlog goes before live calls", "internal/store/jobs.go",
		"firstOfLeg = 2", "firstOfLeg = 4",
	},
	{
		"a delivered message is not stored as delivered", "internal/hook/hook.go",
		"d.save(ctx, m, store.DeliveryDelivered, time.Time{}, status, \"\")",
		"d.save(ctx, m, store.DeliveryPending, d.cfg.Due().Add(time.Second), status, \"\")",
	},
}

// A defect of the core is found within 2,000 worlds. The test builds the simulation with each defect, so it takes some minutes:
// CALLSCREEN_MUTATIONS=1 runs it.
func TestDefectsAreFound(t *testing.T) {
	if os.Getenv("CALLSCREEN_MUTATIONS") == "" {
		t.Skip("set CALLSCREEN_MUTATIONS=1 to build the simulation with a defect of the core, several times")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			bin := m.build(t, root)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, bin, "-test.run", "^TestThePromisesHold$", "-test.timeout", "0", "-test.v")
			cmd.Env = append(os.Environ(), "CALLSCREEN_WORLDS=2000", "CALLSCREEN_MUTATIONS=")
			out, err := cmd.CombinedOutput()
			first := "none"
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "world number") {
					first = strings.TrimSpace(line)
					break
				}
			}
			if err == nil {
				t.Errorf("2,000 worlds do not show it")
			}
			t.Logf("%s", first)
		})
	}
}

// build builds the tests of this package with the defect.
func (m mutation) build(t *testing.T, root string) (bin string) {
	t.Helper()
	file := filepath.Join(root, m.file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(data), m.old) != 1 {
		t.Fatalf("%q is not in %s once", m.old, m.file)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(data), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	bin = filepath.Join(dir, "simulation.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", list, "-o", bin, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, out))
	}
	return bin
}
