package storetest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"callscreen/internal/store"
)

func transfer(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	must(t, settle(ctx, s, "c", "c-0", 1))
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		must(t, tx.AddDecision(ctx, store.Decision{
			Call:      "c",
			Seq:       1,
			At:        now,
			Outcome:   "flagged",
			Threshold: 0.6,
			Reasons:   []string{"r"},
		}))
		_, err := tx.AddMessage(ctx, store.Message{
			ID:        "m",
			Event:     "e",
			Call:      "c",
			CreatedAt: now,
			Body:      "{}",
		}, []string{"a"})
		return err
	}))
	dump := func(s *store.Store) (lines []string) {
		must(t, s.Export(ctx, func(table string, row map[string]any) error {
			delete(row, "alarm")
			data, err := json.Marshal(row)
			lines = append(lines, table+" "+string(data))
			return err
		}))
		return lines
	}
	before := dump(s)
	// SQLite is always at hand to import into; the way back is that of the other run of the suite.
	into, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Owner: true})
	must(t, err)
	defer func() { must(t, into.Close()) }()
	_, err = into.UsePolicy(ctx, []byte("its own"), now)
	must(t, err)
	fill := func(i *store.Importer) error {
		for _, l := range before {
			table, text, _ := strings.Cut(l, " ")
			row := map[string]any{}
			d := json.NewDecoder(strings.NewReader(text))
			d.UseNumber()
			if err := d.Decode(&row); err != nil {
				return err
			}
			if err := i.Add(ctx, table, row); err != nil {
				return err
			}
		}
		return nil
	}
	rows, err := into.Import(ctx, fill)
	if err != nil || rows["segment"] != 2 || rows["call"] != 1 {
		t.Fatal(rows, err)
	}
	if after := dump(into); !slices.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if n, _, err := into.VerifyAudit(ctx); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := into.Rewake(ctx); n != 1 || err != nil {
		t.Errorf("%d segments got a job: %v", n, err)
	}
	if _, err := into.Import(ctx, fill); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second time: %v", err)
	}
	for table, row := range map[string]map[string]any{"river_job": {"id": 1}, "call": {"id; DROP TABLE call": 1}} {
		empty, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Owner: true})
		must(t, err)
		if _, err := empty.Import(ctx, func(i *store.Importer) error { return i.Add(ctx, table, row) }); err == nil ||
			!strings.Contains(err.Error(), "unknown ") {
			t.Errorf("%s: %v", table, err)
		}
		must(t, empty.Close())
	}
}
