// Package stories_test plays random calls on the level of packets and rows: parties join, leave and come back, senders and
// sidecars die, networks and clocks fail, and one party speaks with a synthetic voice for some seconds.
package stories_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"callscreen/capture"
	"callscreen/internal/audio"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

// count returns the number of stories: CALLSCREEN_STORIES, or a share of them in every run of the tests.
func count(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("CALLSCREEN_STORIES")); err == nil {
		return n
	}
	if testing.Short() {
		return (usual + 7) / 8
	}
	return usual
}

// seeds returns fresh seeds, or the only one that CALLSCREEN_STORY names.
func seeds(t *testing.T, usual int) []uint64 {
	t.Helper()
	if seed, err := strconv.ParseUint(os.Getenv("CALLSCREEN_STORY"), 10, 64); err == nil {
		return []uint64{seed}
	}
	first := uint64(time.Now().UnixNano())
	list := make([]uint64, count(usual))
	for i := range list {
		list[i] = first + uint64(i)
	}
	t.Logf("seeds from %d", first)
	return list
}

// memory returns a folder that is not on a disk, where there is one.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "callscreen-stories-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// policies returns policies with the metadata that their overrides look at.
func policies() []rules {
	strict := policy.Default()
	strict.MaxPaused = 5 * time.Second
	queues := policy.Default()
	high, near := 0.97, 0.95
	queues.Overrides = []policy.Override{{Metadata: map[string]string{"queue": "surveys"}, Threshold: &high, ClearBelow: &near}}
	low, tight := 0.3, 0.9
	several := policy.Default()
	several.Overrides = []policy.Override{
		{Leg: "caller", Threshold: &low, ClearBelow: &low},
		{Metadata: map[string]string{"queue": "payments"}, MinCoverage: &tight},
		{Leg: "agent", Threshold: &tight},
	}
	eager := policy.Default()
	eager.MinSpeech = 0
	mild := policy.Default()
	mild.Threshold, mild.ClearBelow = high, near
	return []rules{
		{name: "default", policy: policy.Default()},
		{name: "short pauses", policy: strict},
		{
			name:   "queues",
			policy: queues,
			metadata: map[string]map[string]string{
				"caller": {"queue": "payments"},
				"agent":  {"queue": "surveys"},
			},
			bound: map[string]bool{"agent": true},
		},
		{
			name:     "several",
			policy:   several,
			metadata: map[string]map[string]string{"caller": {"queue": "payments"}, "agent": {"queue": "sales"}},
		},
		{name: "no least speech", policy: eager},
		{name: "two policies", policy: policy.Default(), other: &mild},
	}
}

// A call whose tone arrived is not clear, the ledgers close, and the report has the sums of its legs, in every story.
func TestTheToneDoesNotPass(t *testing.T) {
	outcomes := map[string]int{}
	play(t, seeds(t, 300), func(st *story, outcome string) { outcomes[outcome]++ }, false)
	t.Logf("%v", outcomes)
}

// A call of human speech, under loss below the limits and without faults, is clear: at most 1 % are not.
func TestHumanSpeechIsClear(t *testing.T) {
	outcomes := map[string]int{}
	list := seeds(t, 100)
	play(t, list, func(st *story, outcome string) {
		if outcomes[outcome]++; outcome != "clear" {
			t.Logf("seed %d: %s\n%s\n%s", st.seed, outcome, join(st.log), st.outcome.Summary)
		}
	}, true)
	t.Logf("%v", outcomes)
	if bad := len(list) - outcomes["clear"]; bad > max(len(list)/100, 1) {
		t.Errorf("%d of %d calls are not clear", bad, len(list))
	}
}

// newStory returns the story of a call without parties.
func newStory(db *store.Store, audio *shelf, dir string, seed uint64) *story {
	return &story{
		seed:     seed,
		store:    db,
		shelf:    audio,
		dir:      fmt.Sprintf("%s/%d", dir, seed),
		call:     fmt.Sprintf("call-%d", seed),
		vad:      func(rate int) (capture.VAD, error) { return energy(rate), nil },
		broken:   map[string]bool{},
		paused:   map[legKey]bool{},
		since:    map[legKey]time.Time{},
		pausedBy: map[legKey]time.Duration{},
		arrived:  map[legKey]time.Duration{},
		hidden:   map[legKey]time.Duration{},
	}
}

// play plays stories one after the other.
func play(t *testing.T, list []uint64, done func(st *story, outcome string), plain bool) {
	t.Helper()
	dir := memory(t)
	db := storetest.SQLite(t, dir)
	folder, err := audio.NewFolder(dir + "/audio")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	voices()
	for i, seed := range list {
		if i > 0 && i%1000 == 0 {
			t.Logf("%d stories", i)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		all := policies()
		st := newStory(db, &shelf{Store: folder}, dir, seed)
		st.rng, st.rules, st.plain = rng, all[rng.IntN(len(all))], plain
		if err := os.MkdirAll(st.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			st.t = t
			st.run()
		})
		if t.Failed() {
			return
		}
		done(st, st.outcome.Published)
		_ = os.RemoveAll(st.dir)
	}
}
