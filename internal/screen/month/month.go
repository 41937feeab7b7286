// Package month makes a month of stored calls, for benchmarks.
package month

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/policy"
)

// The calls of the month start at or after Start and before End.
var (
	Start = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	End   = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
)

// Fill fills an empty database with the ended calls of a month. The tables then hold the rows that a sidecar with the
// default policy writes in a month. About 1 % of the calls have a synthetic caller, about 1 % are reviewed. Audit,
// queue and webhooks are left empty. The same arguments give the same rows.
func Fill(tb testing.TB, s *store.Store, calls, segmentsPerCall int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	rules := policy.Default()
	body, err := json.Marshal(rules)
	if err != nil {
		tb.Fatal(err)
	}
	version, err := s.UsePolicy(ctx, body, Start)
	if err != nil {
		tb.Fatal(err)
	}
	m := month{
		rng:      rand.New(rand.NewPCG(uint64(calls), uint64(segmentsPerCall))),
		decider:  screen.NewDecider(screen.DeciderConfig{Store: s, Policy: rules}),
		version:  version,
		segments: segmentsPerCall,
	}
	err = fill(ctx, s, func(add func(string, ...any) error) error {
		m.add = add
		for i := range calls {
			at := Start.Add(End.Sub(Start) / time.Duration(calls) * time.Duration(i)).Truncate(time.Millisecond)
			if err := m.call(fmt.Sprintf("call-%06d", i), at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if s.Shared() { // as autovacuum does in the course of a month
		if err := s.Driver().GetExecutor().Exec(ctx, "VACUUM ANALYZE"); err != nil {
			tb.Fatal(err)
		}
	}
}

type month struct {
	rng      *rand.Rand
	decider  *screen.Decider
	version  int64
	segments int
	alarm    int64
	add      func(table string, values ...any) error
}

const node = "node-k7w2mq4zt5ab"

var queues = []string{"payments", "support", "sales", "claims", "cards"}

// keep is the retention of the default configuration.
var keep = map[string]time.Duration{"flagged": 720 * time.Hour, "inconclusive": 72 * time.Hour}

// call inserts one call, from its segments to its review.
func (m *month) call(id string, at time.Time) error {
	synthetic := m.rng.IntN(100) == 0
	c := store.Call{
		ID:            id,
		StartedAt:     at,
		State:         store.CallEnded,
		Final:         true,
		PolicyVersion: m.version,
		Metadata:      map[string]string{"queue": queues[m.rng.IntN(len(queues))], "from": fmt.Sprintf("+49%09d", m.rng.IntN(1e9))},
	}
	p := store.Part{PartKey: store.PartKey{Call: id, Part: at.UnixMilli(), Node: node}}
	segments, length := m.talk(p.PartKey, synthetic)
	p.EndedAt = at.Add(length)
	c.EndedAt, c.DecidedAt = p.EndedAt, p.EndedAt.Add(4*time.Second)
	p.Legs = []store.LegProgress{
		{Leg: "agent", Duration: length},
		{Leg: "caller", Duration: length, Lost: time.Duration(m.rng.IntN(300)) * time.Millisecond},
	}
	for i := range p.Legs {
		l := &p.Legs[i]
		l.Metadata = []map[string]string{c.Metadata}
		l.Ledger = ledgerOf(l.Duration, l.Lost)
	}
	r := m.decider.Summary(c, []store.Part{p}, segments)
	summary, err := json.Marshal(r)
	if err != nil {
		return err
	}
	until := c.EndedAt.Add(keep[r.Decision])
	kept := until.After(End)
	var untilMS *int64
	if ms := until.UnixMilli(); kept {
		untilMS = &ms
	}
	metadata, err := json.Marshal(c.Metadata)
	if err != nil {
		return err
	}
	reasons, err := json.Marshal(r.Reasons)
	if err != nil {
		return err
	}
	search := strings.ToLower(id + "\n" + c.Metadata["from"] + "\n" + c.Metadata["queue"])
	decided := c.DecidedAt.UnixMilli()
	review := ""
	if r.Review {
		review = m.heard(r)
	}
	if err := m.add(
		"call",
		id,
		at.UnixMilli(),
		c.EndedAt.UnixMilli(),
		c.State,
		string(metadata),
		search,
		r.Decision,
		1,
		number(r.Review),
		r.Score,
		string(summary),
		1,
		r.Decision,
		m.version,
		decided,
		untilMS,
		review,
	); err != nil {
		return err
	}
	if err := m.add("part", id, p.Part, p.Node, c.EndedAt.UnixMilli()); err != nil {
		return err
	}
	for _, l := range p.Legs {
		ledger, err := json.Marshal(l.Ledger)
		if err != nil {
			return err
		}
		if err := m.add(
			"leg",
			id,
			p.Part,
			p.Node,
			l.Leg,
			l.Duration.Milliseconds(),
			l.Lost.Milliseconds(),
			time.Duration(l.Ledger.Recorded).Milliseconds(),
			string(ledger),
			"["+string(metadata)+"]",
		); err != nil {
			return err
		}
	}
	for _, g := range segments {
		if err := m.segment(g, kept, earlier(until, End)); err != nil {
			return err
		}
	}
	if err := m.add("decision", id, 1, decided, r.Decision, r.Score, r.Threshold, string(reasons), m.version); err != nil || review == "" {
		return err
	}
	return m.review(c, review, synthetic)
}

// talk returns the segments of a call, in order, and its length. Both legs take turns.
func (m *month) talk(k store.PartKey, synthetic bool) (list []store.SegmentRow, length time.Duration) {
	tempers := map[string]float64{"caller": -3.3 + 0.8*m.rng.NormFloat64(), "agent": -3.6 + 0.6*m.rng.NormFloat64()}
	if synthetic {
		tempers["caller"] = 2.2 + m.rng.NormFloat64()
	}
	seqs := map[string]int{}
	ms := func(from, to int) time.Duration { return time.Duration(from+m.rng.IntN(to-from)) * time.Millisecond }
	for i := range m.segments {
		leg := [2]string{"agent", "caller"}[i%2]
		g := store.SegmentRow{
			PartKey:  k,
			Leg:      leg,
			Seq:      seqs[leg],
			Offset:   length,
			Duration: ms(9_000, 20_000),
			State:    store.SegmentScored,
			Rate:     16000,
			Verdict:  "deepfake_unlikely",
		}
		seqs[leg]++
		g.Speech = g.Duration - ms(1_000, 4_000)
		g.Voiced = [][2]int64{{1600, g.Speech.Milliseconds() * 8}, {g.Speech.Milliseconds()*8 + 12_000, g.Duration.Milliseconds() * 16}}
		length += g.Duration + ms(200, 3_000)
		g.RecordedAt = time.UnixMilli(k.Part).Add(length)
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", k.Call, i))
		g.AudioSHA256 = hex.EncodeToString(sum[:])
		g.ID = fmt.Sprintf("%011x%s", k.Part+g.Offset.Milliseconds(), g.AudioSHA256[:21])
		score := math.Round(1e6/(1+math.Exp(-tempers[leg]-0.7*m.rng.NormFloat64()))) / 1e6
		switch {
		case score > 0.5:
			g.Verdict = "deepfake_likely"
		case i >= 2 && m.rng.IntN(16) == 0:
			g.State, g.Reason, g.Speech, g.Voiced, g.Verdict = store.SegmentSkipped, policy.ReasonTooLittleSpeech, ms(300, 3_000), nil, ""
		case m.rng.IntN(800) == 0:
			g.State, g.Reason, g.Detail, g.Verdict = store.SegmentFailed, "timeout", "job is not finished after 2m0s", ""
		}
		if g.State == store.SegmentScored {
			g.Score = &score
		}
		if g.State != store.SegmentSkipped {
			g.AudioKey, g.AudioBytes = g.ID[9:11]+"/"+g.ID+".wav", 44+g.Duration.Milliseconds()*32
			g.JobID = fmt.Sprintf(
				"%s-%s-4%s-8%s-%s",
				g.AudioSHA256[:8],
				g.AudioSHA256[8:12],
				g.AudioSHA256[12:15],
				g.AudioSHA256[15:18],
				g.AudioSHA256[18:30],
			)
		} else {
			g.AudioSHA256 = ""
		}
		list = append(list, g)
	}
	return list, length
}

func (m *month) segment(g store.SegmentRow, kept bool, deleted time.Time) error {
	voiced, err := json.Marshal(g.Voiced)
	if err != nil {
		return err
	}
	var alarm, attempts, deletedMS, submitted int64
	worker, settled := "", g.RecordedAt
	if g.State != store.SegmentSkipped {
		m.alarm++
		alarm, attempts, worker = m.alarm, 1, node
		submitted = g.RecordedAt.UnixMilli() + 300
		settled = settled.Add(time.Duration(2_000+m.rng.IntN(2_000)) * time.Millisecond)
		if !kept {
			g.AudioKey, deletedMS = "", deleted.UnixMilli()
		}
	}
	return m.add(
		"segment",
		g.ID,
		g.Call,
		g.Part,
		g.Node,
		g.Leg,
		g.Seq,
		g.Offset.Milliseconds(),
		g.Duration.Milliseconds(),
		g.Speech.Milliseconds(),
		0,
		g.RecordedAt.UnixMilli(),
		g.State,
		g.Reason,
		g.Detail,
		g.Score,
		g.Verdict,
		g.JobID,
		number(m.rng.IntN(500) == 0),
		g.AudioKey,
		g.AudioSHA256,
		g.AudioBytes,
		deletedMS,
		g.Rate,
		string(voiced),
		attempts,
		submitted,
		worker,
		alarm,
		settled.UnixMilli(),
	)
}

// heard returns the review state of a call: a third of the calls are reviewed, flagged ones more often.
func (m *month) heard(r report.Report) (state string) {
	if heard := m.rng.IntN(100); r.Decision == "flagged" && heard >= 60 || r.Decision != "flagged" && heard >= 30 {
		return store.ReviewWaiting
	}
	return store.ReviewClosed
}

// review inserts the review of a call.
func (m *month) review(c store.Call, state string, synthetic bool) error {
	opened := c.DecidedAt.UnixMilli()
	if state == store.ReviewWaiting {
		return m.add("review", c.ID, opened, store.ReviewWaiting, "", "", "", 0, "", 1)
	}
	disposition, note := "false_alarm", ""
	switch {
	case m.rng.IntN(12) == 0:
		disposition, note = "unsure", "bad line"
	case synthetic:
		disposition, note = "confirmed_synthetic", "no breath, no echo"
	}
	who := [3]string{"anna", "ben", "chris"}[m.rng.IntN(3)]
	return m.add("review", c.ID, opened, store.ReviewClosed, who, disposition, note, opened+int64(m.rng.IntN(7_200_000)), who, 3)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ledgerOf returns the ledger of a leg of 20 ms packets.
func ledgerOf(duration, lost time.Duration) *report.Ledger {
	const packet = 20 * time.Millisecond
	sent, missing := int64(duration/packet), int64(lost/packet)
	return &report.Ledger{
		Recorded: report.Seconds(duration - lost),
		Packets:  &report.Packets{Sent: sent, Recorded: sent - missing, Lost: missing},
	}
}
