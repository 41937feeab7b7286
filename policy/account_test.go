package policy_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/policy"
)

// heardLeg is a leg of which 60 s arrived and were analysed as human.
func heardLeg(leg string, change func(*policy.Account)) (policy.Account, []policy.Finding) {
	a := policy.Account{Leg: leg, Recorded: 60 * time.Second}
	if change != nil {
		change(&a)
	}
	return a, []policy.Finding{scored(leg, 0, 0.1), scored(leg, 1, 0.1), scored(leg, 2, 0.1)}
}

func TestLedgerOfALeg(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*policy.Account)
		want    policy.Outcome
		reasons string
	}{
		"all of it was heard": {nil, policy.OutcomeClear, "scores_below_threshold"},
		"three seconds were not recorded": {func(a *policy.Account) {
			a.Unheard = map[string]time.Duration{"leg_busy": 3 * time.Second}
		}, policy.OutcomeClear, "scores_below_threshold"},
		"a tenth was not recorded": {func(a *policy.Account) {
			a.Unheard = map[string]time.Duration{"late": 6 * time.Second}
		}, policy.OutcomeClear, "scores_below_threshold"},
		"more than a tenth was not recorded": {func(a *policy.Account) {
			a.Unheard = map[string]time.Duration{"leg_busy": 5 * time.Second, "codec": 3 * time.Second}
		}, policy.OutcomeInconclusive, "codec leg_busy"},
		"half of it was not read": {func(a *policy.Account) {
			a.Unheard = map[string]time.Duration{"behind_stated_size": time.Minute}
		}, policy.OutcomeInconclusive, "behind_stated_size"},
		"a fifth was lost":           {func(a *policy.Account) { a.Lost = 15 * time.Second }, policy.OutcomeClear, "scores_below_threshold"},
		"more than a fifth was lost": {func(a *policy.Account) { a.Lost = 16 * time.Second }, policy.OutcomeInconclusive, "too_much_lost"},
		"paused for two minutes":     {func(a *policy.Account) { a.Paused = 2 * time.Minute }, policy.OutcomeClear, "scores_below_threshold"},
		"paused for longer":          {func(a *policy.Account) { a.Paused = 121 * time.Second }, policy.OutcomeInconclusive, "paused_too_long"},
		"the connection broke":       {func(a *policy.Account) { a.Interrupted = true }, policy.OutcomeInconclusive, "interrupted"},
	} {
		a, findings := heardLeg("caller", c.change)
		d := policy.Default().DecideCall(policy.Call{Findings: findings, Accounts: []policy.Account{a}})
		if d.Outcome != c.want || strings.Join(d.Reasons, " ") != c.reasons || d.Review != (c.want == policy.OutcomeInconclusive) {
			t.Errorf("%s: %v %v", name, d.Outcome, d.Reasons)
		}
	}
}

// The agent was heard. A caller without speech is ignored only if it was received, decoded and quiet.
func TestALegWithoutSpeechIsIgnoredOnlyIfItWasQuiet(t *testing.T) {
	agent, findings := heardLeg("agent", nil)
	for name, c := range map[string]struct {
		caller  policy.Account
		want    policy.Outcome
		reasons string
	}{
		"quiet":   {policy.Account{Recorded: time.Minute, Noise: time.Second}, policy.OutcomeClear, "scores_below_threshold"},
		"absent":  {policy.Account{}, policy.OutcomeInconclusive, "no_audio"},
		"lost":    {policy.Account{Lost: time.Minute}, policy.OutcomeInconclusive, "no_audio too_much_lost"},
		"stray":   {policy.Account{Recorded: 40 * time.Millisecond}, policy.OutcomeInconclusive, "no_audio"},
		"noise":   {policy.Account{Recorded: time.Minute, Noise: 23 * time.Second}, policy.OutcomeInconclusive, "only_noise"},
		"opaque":  {policy.Account{Unheard: map[string]time.Duration{"codec": time.Minute}}, policy.OutcomeInconclusive, "codec"},
		"briefly": {policy.Account{Unheard: map[string]time.Duration{"codec": time.Second}}, policy.OutcomeInconclusive, "codec"},
	} {
		c.caller.Leg = "caller"
		d := policy.Default().DecideCall(policy.Call{Findings: findings, Accounts: []policy.Account{agent, c.caller}})
		if d.Outcome != c.want || strings.Join(d.Reasons, " ") != c.reasons {
			t.Errorf("%s: %v %v", name, d.Outcome, d.Reasons)
		}
		if ignored := d.Legs[1].Ignored; ignored != (c.want == policy.OutcomeClear) {
			t.Errorf("%s: ignored %v", name, ignored)
		}
	}
}

func TestRequiredLegs(t *testing.T) {
	p := policy.Default()
	p.RequireLegs = []string{"caller"}
	agent, findings := heardLeg("agent", nil)
	d := p.DecideCall(policy.Call{Findings: findings})
	if d.Outcome != policy.OutcomeInconclusive || d.Reasons[0] != "missing_leg" || !d.Review {
		t.Errorf("missing: %v %v", d.Outcome, d.Reasons)
	}
	quiet := policy.Account{Leg: "caller", Recorded: time.Minute}
	d = p.DecideCall(policy.Call{Findings: findings, Accounts: []policy.Account{agent, quiet}})
	if d.Outcome != policy.OutcomeInconclusive || d.Reasons[0] != "too_little_speech" {
		t.Errorf("quiet: %v %v", d.Outcome, d.Reasons)
	}
	caller, more := heardLeg("caller", nil)
	d = p.DecideCall(policy.Call{Findings: append(more, findings...), Accounts: []policy.Account{agent, caller}})
	if d.Outcome != policy.OutcomeClear {
		t.Errorf("heard: %v %v", d.Outcome, d.Reasons)
	}
}

// Each of two overrides is valid, and together they ask for three of two scores: no call could be flagged.
func TestOverridesAreValidatedTogether(t *testing.T) {
	three, two, four := 3, 2, 4
	low, high := 0.3, 0.5
	valid := 0
	for name, c := range map[string]struct {
		overrides []policy.Override
		want      string
	}{
		"metadata and leg": {[]policy.Override{
			{Metadata: map[string]string{"queue": "payments"}, Need: &three},
			{Leg: "caller", Of: &two},
		}, "overrides[0] with overrides[1]: of: is 2, less than need 3"},
		"the other way round": {[]policy.Override{
			{Leg: "caller", Of: &two},
			{Metadata: map[string]string{"queue": "payments"}, Need: &three},
		}, "overrides[0] with overrides[1]: of: is 2"},
		"other legs": {[]policy.Override{{Leg: "agent", Need: &three}, {Leg: "caller", Of: &two}}, ""},
		"other metadata": {[]policy.Override{
			{Metadata: map[string]string{"queue": "a"}, Need: &three}, {Metadata: map[string]string{"queue": "b"}, Of: &two},
		}, ""},
		"a third repairs it wherever both match": {[]policy.Override{
			{Metadata: map[string]string{"queue": "a"}, Need: &three}, {Leg: "caller", Of: &two}, {Leg: "caller", Of: &four},
		}, ""},
		"thresholds": {[]policy.Override{
			{Leg: "caller", ClearBelow: &high}, {Metadata: map[string]string{"queue": "a"}, Threshold: &low, ClearBelow: &low},
			{Metadata: map[string]string{"vip": "1"}, ClearBelow: &high},
		}, "overrides[1] with overrides[2]: clear_below: is 0.5, above the threshold 0.3"},
	} {
		p := policy.Default()
		p.Overrides = c.overrides
		err := p.Validate()
		if c.want == "" {
			valid++
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if valid == 0 {
		t.Error("nothing is valid")
	}
}

// randomOverrides returns overrides over few legs and keys, so that many match together.
func randomOverrides(rng *rand.Rand) (list []policy.Override) {
	pick := func(values ...float64) *float64 { v := values[rng.IntN(len(values))]; return &v }
	for range 1 + rng.IntN(4) {
		o := policy.Override{Leg: []string{"", "caller", "agent"}[rng.IntN(3)], Metadata: map[string]string{}}
		for _, key := range []string{"queue", "vip"}[:rng.IntN(3)] {
			o.Metadata[key] = []string{"a", "b"}[rng.IntN(2)]
		}
		if o.Leg == "" && len(o.Metadata) == 0 {
			continue
		}
		if rng.IntN(2) == 0 {
			o.Threshold = pick(0.2, 0.5, 0.6, 0.9)
		}
		if rng.IntN(2) == 0 {
			o.ClearBelow = pick(0.1, 0.4, 0.8)
		}
		if rng.IntN(2) == 0 {
			n := 1 + rng.IntN(4)
			o.Need = &n
		}
		if rng.IntN(2) == 0 {
			n := rng.IntN(4)
			o.Of = &n
		}
		list = append(list, o)
	}
	return list
}

// A valid policy leads to valid rules, whatever call it is applied to.
func TestValidOverridesAreValidInEveryCall(t *testing.T) {
	valid, invalid := 0, 0
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := policy.Default()
		p.Overrides = randomOverrides(rng)
		broken := false
		for _, leg := range []string{"caller", "agent", "other"} {
			for _, queue := range []string{"", "a", "b"} {
				for _, vip := range []string{"", "a", "b"} {
					rules := p.For(leg, map[string]string{"queue": queue, "vip": vip})
					broken = broken || rules.Validate() != nil
				}
			}
		}
		err := p.Validate()
		if broken && err == nil {
			t.Fatalf("seed %d: %+v", seed, p.Overrides)
		}
		if err == nil {
			valid++
		} else {
			invalid++
		}
	}
	if valid < seeds/10 || invalid < seeds/10 {
		t.Fatalf("%d valid, %d invalid", valid, invalid)
	}
}

// Where the legs disagree no order of theirs makes a call milder than one of their words alone would.
func TestDisputedMetadataIsDecidedByTheStrictestRules(t *testing.T) {
	disputed := 0
	for seed := range uint64(seeds) {
		w := newWorld(seed)
		w.policy.Overrides = randomOverrides(w.rng)
		if w.policy.Validate() != nil {
			continue
		}
		words := []map[string]string{{"queue": "a"}, {"queue": "b", "vip": "a"}, {}}
		d := w.policy.DecideCall(policy.Call{Findings: w.findings, Metadata: words})
		for _, word := range words {
			if one := w.policy.Decide(w.findings, word); one.Outcome > d.Outcome {
				t.Fatalf("seed %d: %v by %v, %v by all", seed, one.Outcome, word, d.Outcome)
			}
		}
		slices.Reverse(words)
		if other := w.policy.DecideCall(policy.Call{Findings: w.findings, Metadata: words}); !reflect.DeepEqual(legsOf(other), legsOf(d)) {
			t.Fatalf("seed %d: %+v in one order, %+v in the other", seed, d, other)
		}
		if d.Disputed {
			disputed++
		}
	}
	if disputed < seeds/20 {
		t.Fatalf("only %d calls were disputed", disputed)
	}
}

func legsOf(d policy.Decision) []policy.LegDecision { return d.Legs }

// A ledger never makes a call milder, and never takes a flag back.
func TestALedgerNeverMakesTheOutcomeMilder(t *testing.T) {
	harder := 0
	forEachWorld(t, func(t *testing.T, w world) {
		before := w.decide()
		c := policy.Call{Findings: w.findings, Metadata: []map[string]string{nil}}
		legs := map[string]bool{}
		for _, f := range w.findings {
			legs[f.Leg] = true
		}
		for leg := range legs {
			c.Accounts = append(c.Accounts, policy.Account{
				Leg:         leg,
				Recorded:    time.Duration(w.rng.IntN(100)) * time.Second,
				Noise:       time.Duration(w.rng.IntN(5)) * time.Second,
				Lost:        time.Duration(w.rng.IntN(20)) * time.Second,
				Paused:      time.Duration(w.rng.IntN(200)) * time.Second,
				Unheard:     map[string]time.Duration{"late": time.Duration(w.rng.IntN(10)) * time.Second},
				Interrupted: w.rng.IntN(10) == 0,
			})
		}
		after := w.policy.DecideCall(c)
		if after.Outcome < before.Outcome {
			t.Errorf("%v without a ledger, %v with %+v", before.Outcome, after.Outcome, c.Accounts)
		}
		if after.Outcome > before.Outcome {
			harder++
		}
	})
	if harder < seeds/20 {
		t.Fatalf("a ledger mattered in %d calls only", harder)
	}
}
