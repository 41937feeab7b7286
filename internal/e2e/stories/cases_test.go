package stories_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/internal/audio"
	"callscreen/internal/intake"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// party adds a party that joins at once. It is mute until it says something.
func (st *story) party(leg string, c codec, sender intake.Sender) *party {
	p := &party{
		leg:    leg,
		codec:  c,
		sender: sender,
		packet: step,
		mute:   true,
		back:   time.Now(),
	}
	st.parties = append(st.parties, p)
	return p
}

// say lets a party speak for d, with a human voice or with the tone under it, while all others go on with what they do.
func (st *story) say(p *party, d time.Duration, synthetic bool) {
	p.mute = false
	if synthetic {
		p.tone = [2]time.Time{time.Now(), time.Now().Add(d)}
	}
	st.pass(d)
	p.mute = true
}

// again lets a party join again, although its session is still there.
func (st *story) again(p *party) {
	p.session, p.back = nil, time.Now()
}

const (
	human     = false
	synthetic = true
)

var gateway = intake.Sender{Name: "gateway"}

// halfWay is a call of one leg, with a human voice before a change and a synthetic one after it.
func halfWay(from codec, change func(st *story, p *party)) func(st *story) {
	return func(st *story) {
		p := st.party("caller", from, gateway)
		st.say(p, 12*time.Second, human)
		change(st, p)
		st.say(p, 12*time.Second, synthetic)
	}
}

// liveCases are calls that were clear although half of their audio was synthetic, or was not heard. They are named after what
// was wrong.
var liveCases = []struct {
	name string
	play func(st *story)
	want string // the reason of the outcome; "flagged" if the tone must be heard
}{
	{"another SSRC was not recorded", halfWay(codecs[0], func(st *story, p *party) {
		p.stream = st.stream(p.codec)
	}), "flagged"},
	{"a codec of another rate under the same SSRC was malformed", halfWay(codecs[0], func(_ *story, p *party) {
		p.codec = codecs[2]
		p.stream.enc = newEncoder(p.codec)
	}), "flagged"},
	{"Opus behind PCMU under the same SSRC was malformed", halfWay(codecs[0], func(_ *story, p *party) {
		p.codec = codecs[3]
		p.stream.enc = newEncoder(p.codec)
	}), "flagged"},
	{"half of each Opus packet was cut", halfWay(codecs[3], func(_ *story, p *party) {
		p.stream.faulty = func(ts uint32) uint32 { return ts / 2 }
	}), "flagged"},
	{"a wobble of Opus timestamps made holes", halfWay(codecs[3], func(st *story, p *party) {
		p.stream.faulty = func(ts uint32) uint32 { return ts - 7 + uint32(st.rng.IntN(15)) }
	}), "flagged"},
	{"a codec of the same rate was not taken", halfWay(codecs[0], func(_ *story, p *party) {
		p.codec = codecs[1]
		p.stream.enc = newEncoder(p.codec)
	}), "flagged"},
	{"a dead session held the leg", halfWay(codecs[0], func(st *story, p *party) { st.again(p) }), "flagged"},
	{"a leg did not go on in another codec", halfWay(codecs[0], func(st *story, p *party) {
		p.codec = codecs[2]
		st.leave(p, intake.HungUp, 500*time.Millisecond)
	}), "flagged"},
	{"the caller came back with another codec while the agent stayed", func(st *story) {
		agent := st.party("agent", codecs[0], gateway)
		p := st.party("caller", codecs[2], gateway)
		st.say(agent, 6*time.Second, human)
		st.say(p, 6*time.Second, human)
		p.codec = codecs[0]
		st.leave(p, intake.HungUp, 3*time.Second)
		st.pass(3 * time.Second)
		st.say(p, 12*time.Second, synthetic)
	}, "flagged"},
	{"timestamps of half steps were cut", halfWay(codecs[0], func(_ *story, p *party) {
		p.stream.faulty = func(ts uint32) uint32 { return ts / 2 }
	}), "flagged"},
	{"a wobble of timestamps made holes", halfWay(codecs[0], func(st *story, p *party) {
		p.stream.faulty = func(ts uint32) uint32 { return ts + uint32(st.rng.IntN(8)) }
	}), "flagged"},
	{"every fiftieth timestamp was zero", halfWay(codecs[0], func(_ *story, p *party) {
		p.stream.faulty = func(ts uint32) uint32 {
			if p.stream.seq%50 == 0 {
				return 0
			}
			return ts
		}
	}), "flagged"},
	{"the clock went back by an hour", halfWay(codecs[0], func(_ *story, p *party) { p.stream.ts -= 3600 * 8000 }), "flagged"},
	{"the clock went back by 100 ms each second", halfWay(codecs[0], func(st *story, p *party) {
		began := time.Now()
		p.stream.faulty = func(ts uint32) uint32 { return ts - uint32(time.Since(began)/time.Second)*800 }
	}), "flagged"},
	{"a hold with frozen timestamps", halfWay(codecs[0], func(st *story, p *party) {
		p.next = time.Now().Add(5 * time.Second)
		st.pass(5 * time.Second)
	}), "flagged"},
	{"packets of several lengths in one stream", halfWay(codecs[0], func(st *story, p *party) {
		for _, d := range []time.Duration{30, 10, 60, 20} {
			p.packet = d * time.Millisecond
			st.say(p, time.Second, human)
		}
	}), "flagged"},
	{"a connection that broke counted as a hang-up", func(st *story) {
		p := st.party("caller", codecs[0], gateway)
		st.say(p, 12*time.Second, human)
		st.leave(p, intake.Lost, time.Hour)
		st.pass(15 * time.Second)
	}, "interrupted"},
	{"a session of which nothing arrived brought a broken leg back", func(st *story) {
		agent := st.party("agent", codecs[0], gateway)
		p := st.party("caller", codecs[0], gateway)
		st.say(agent, 6*time.Second, human)
		st.say(p, 12*time.Second, human)
		st.leave(p, intake.Lost, time.Hour)
		st.pass(11 * time.Second)
		st.loss = 1
		st.again(p)
		st.pass(time.Second)
		st.loss = 0
		st.leave(p, intake.HungUp, time.Hour)
	}, "interrupted"},
	{"all packets of the caller were lost", func(st *story) {
		p := st.party("caller", codecs[0], gateway)
		st.loss = 1
		st.pass(5 * time.Second)
		p.session.report(p.stream)
		st.loss = 0
		st.parties[0].next = time.Now().Add(time.Hour)
		st.say(st.party("agent", codecs[0], gateway), 12*time.Second, human)
	}, "no_audio"},
	{"one packet of the caller arrived", func(st *story) {
		st.party("caller", codecs[0], gateway)
		st.pass(step)
		st.loss = 1
		st.pass(5 * time.Second)
		st.loss = 0
		st.parties[0].next = time.Now().Add(time.Hour)
		st.say(st.party("agent", codecs[0], gateway), 12*time.Second, human)
	}, "no_audio"},
	{"the caller was encrypted", func(st *story) {
		st.vad = func(rate int) (capture.VAD, error) { return vad.New(rate, nil) }
		st.kill(0)
		st.killed = false
		st.nodes[0] = st.start("n1")
		p := st.party("caller", codecs[0], gateway)
		p.next = time.Now().Add(time.Hour)
		st.pass(step)
		agent := st.party("agent", codecs[0], gateway)
		for end := time.Now().Add(12 * time.Second); time.Now().Before(end); {
			noise := make([]int16, 160)
			for i := range noise {
				noise[i] = capturedNoise(st.rng)
			}
			st.transmit(p.stream, p.stream.enc.encode(noise), step, false)
			st.say(agent, step, human)
		}
	}, "only_noise"},
	{"more than half of the caller was lost", func(st *story) {
		p := st.party("caller", codecs[0], gateway)
		st.say(p, time.Second, human)
		st.loss = 0.6
		st.say(p, 22*time.Second, human)
		st.loss = 0
		st.say(p, time.Second, human)
	}, "too_much_lost"},
	{"a leg that was announced and never sent", func(st *story) {
		if _, err := st.enter(st.nodes[0], "caller", gateway, nil); err != nil {
			st.fatal("%v", err)
		}
		st.say(st.party("agent", codecs[0], gateway), 12*time.Second, human)
	}, "no_audio"},
	{"short turns were not analysed", func(st *story) {
		agent := st.party("agent", codecs[0], gateway)
		p := st.party("caller", codecs[0], gateway)
		st.say(agent, 5*time.Second, human)
		st.say(p, 20*time.Second, human)
		for range 8 {
			st.say(p, 2300*time.Millisecond, synthetic)
			st.pass(27 * time.Second)
		}
	}, "flagged"},
	{"a pause of more than two minutes left no trace", func(st *story) {
		p := st.party("caller", codecs[0], gateway)
		st.say(p, 12*time.Second, human)
		p.mute = false
		p.tone = [2]time.Time{time.Now(), time.Now().Add(125 * time.Second)}
		st.pause(p, 125*time.Second)
		st.pass(time.Second)
	}, "paused_too_long"},
	{"the metadata of the agent chose the rules of the caller", func(st *story) {
		st.rules = policies()[2]
		for i := range st.nodes[:1] {
			st.kill(i)
			st.killed = false
			st.nodes[i] = st.start("n1")
		}
		agent := st.party("agent", codecs[0], intake.Sender{Name: "agent", Call: st.call, Leg: "agent"})
		st.say(agent, 6*time.Second, human)
		st.say(st.party("caller", codecs[0], gateway), 12*time.Second, synthetic)
	}, "flagged"},
	{"another sender held the leg", func(st *story) {
		p := st.party("caller", codecs[0], gateway)
		st.say(p, 3*time.Second, human)
		var refused *intake.Refusal
		_, err := st.enter(st.nodes[0], "caller", intake.Sender{Name: "other"}, nil)
		if !errors.As(err, &refused) || refused.Kind != intake.Taken {
			st.fatal("another sender got %v", err)
		}
		st.say(p, 12*time.Second, synthetic)
	}, "flagged"},
	{"a sidecar died before the synthetic voice was cut", func(st *story) {
		p := st.party("caller", codecs[0], gateway)
		st.say(p, 12*time.Second, human)
		st.say(p, 2*time.Second, synthetic)
		st.kill(0)
		p.session, p.back = nil, time.Now().Add(time.Hour)
		st.nodes[0] = st.start("n1")
		st.look()
	}, "interrupted"},
	{"the id was used again while the first call was analysed", func(st *story) {
		p := st.party("caller", codecs[0], gateway)
		st.say(p, 12*time.Second, synthetic)
		st.leave(p, intake.HungUp, 10*time.Second)
		st.pass(11 * time.Second)
		st.say(p, 12*time.Second, human)
	}, "flagged"},
}

// capturedNoise returns a sample as a random byte of mu-law decodes to.
func capturedNoise(rng *rand.Rand) int16 { return int16(rng.IntN(16000) - 8000) }

func TestCallsThatWereClear(t *testing.T) {
	dir := memory(t)
	db := storetest.SQLite(t, dir)
	folder, err := audio.NewFolder(dir + "/audio")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	voices()
	for i, c := range liveCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStory(db, &shelf{Store: folder}, dir, uint64(i))
				st.t, st.rng, st.plain, st.rules = t, rand.New(rand.NewPCG(1, uint64(i))), true, policies()[0]
				st.began = time.Now()
				st.nodes[0] = st.start("n1")
				c.play(st)
				st.end()
				st.verify()
				reasons := reasonsOf(st)
				if c.want == "flagged" && st.outcome.Published != "flagged" ||
					c.want != "flagged" && (st.outcome.Published != "inconclusive" || !slices.Contains(reasons, c.want)) {
					st.fatal("the call is %s, %v: %s", st.outcome.Published, reasons, st.outcome.Summary)
				}
			})
		})
	}
}

func reasonsOf(st *story) []string {
	decisions, err := st.store.DecisionsOf(st.t.Context(), st.call)
	if err != nil || len(decisions) == 0 {
		st.fatal("%d decisions, %v", len(decisions), err)
	}
	return decisions[len(decisions)-1].Reasons
}

// Known fault: after a flag was dismissed, a worse leg alerted no one, and the review stayed closed.
func TestAWorseLegOpensADismissedReviewAgain(t *testing.T) {
	dir := memory(t)
	db := storetest.SQLite(t, dir)
	folder, err := audio.NewFolder(dir + "/audio")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	voices()
	synctest.Test(t, func(t *testing.T) {
		st := newStory(db, &shelf{Store: folder}, dir, 1)
		st.t, st.rng, st.plain, st.rules = t, rand.New(rand.NewPCG(1, 1)), true, policies()[0]
		st.began = time.Now()
		st.nodes[0] = st.start("n1")
		agent := st.party("agent", codecs[0], gateway)
		caller := st.party("caller", codecs[0], gateway)
		st.say(agent, 12*time.Second, synthetic)
		st.pass(3 * time.Second)
		for range 10 {
			st.analyse(1)
		}
		reviews, err := db.Reviews(t.Context(), st.call)
		if err != nil || reviews[st.call].State != store.ReviewWaiting {
			st.fatal("%+v, %v", reviews, err)
		}
		if _, err := db.ChangeReview(t.Context(), store.ReviewChange{
			Call:        st.call,
			Action:      store.ReviewDispose,
			Who:         "ann",
			Version:     reviews[st.call].Version,
			Disposition: "false_alarm",
			At:          time.Now(),
		}); err != nil {
			st.fatal("%v", err)
		}
		st.say(caller, 12*time.Second, synthetic)
		st.end()
		st.verify()
		if reviews, err = db.Reviews(t.Context(), st.call); err != nil || reviews[st.call].State != store.ReviewWaiting {
			st.fatal("%+v, %v", reviews, err)
		}
		if st.outcome.Decisions != 2 {
			st.fatal("%d decisions", st.outcome.Decisions)
		}
	})
}

// Known fault: the coverage of two calls with one id was pooled, so that the second was clear without an analysis.
func TestTheNextCallWithAnIdIsNotCoveredByTheFirst(t *testing.T) {
	dir := memory(t)
	db := storetest.SQLite(t, dir)
	folder, err := audio.NewFolder(dir + "/audio")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	voices()
	synctest.Test(t, func(t *testing.T) {
		st := newStory(db, &shelf{Store: folder}, dir, 2)
		st.t, st.rng, st.plain, st.rules = t, rand.New(rand.NewPCG(1, 2)), true, policies()[0]
		st.began = time.Now()
		st.nodes[0] = st.start("n1")
		p := st.party("caller", codecs[0], gateway)
		st.say(p, 100*time.Second, human)
		for range 10 {
			st.analyse(1)
		}
		st.leave(p, intake.HungUp, 24*time.Hour)
		st.pass(10 * time.Second)
		for range 10 {
			st.analyse(1)
		}
		p.back = time.Time{}
		time.Sleep(24 * time.Hour)
		p.back = time.Now()
		st.failing = 1
		st.say(p, 8*time.Second, human)
		st.end()
		st.verify()
		if st.outcome.Number != 2 || st.outcome.Published != "inconclusive" || !strings.Contains(string(st.outcome.Summary), "job_failed") {
			st.fatal("number %d is %s: %s", st.outcome.Number, st.outcome.Published, st.outcome.Summary)
		}
	})
}
