package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// verb runs the program in this process.
func verb(t *testing.T, environ []string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code = run(ctx, args, env{environ: environ, stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

// history creates a SQLite database with a decided call and an undeliverable message.
func history(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		ctx := t.Context()
		key := store.PartKey{Call: "c-1", Part: at.UnixMilli(), Node: "n"}
		c, err := tx.Begin(ctx, store.Part{PartKey: key, Metadata: map[string]string{"queue": "q"}})
		if err != nil {
			return err
		}
		score := 0.75
		c.Decision, c.Final, c.Score, c.Decisions = "flagged", true, &score, 1
		if err := tx.Progress(ctx, &c, store.Part{PartKey: key, EndedAt: at.Add(time.Minute)}); err != nil {
			return err
		}
		if _, err := tx.AddMessage(ctx, store.Message{
			ID:        "msg_1",
			Event:     "call.flagged",
			Call:      "c-1",
			CreatedAt: at,
			Body:      "{}",
		}, []string{"crm"}); err != nil {
			return err
		}
		return tx.Audit(ctx, store.Line{At: at, Actor: "machine", What: store.AuditDecided, Call: "c-1"})
	}); err != nil {
		t.Fatal(err)
	}
	d, _, err := s.ClaimDelivery(t.Context(), "crm", at, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	d.State, d.SettledAt, d.LastError = store.DeliveryDead, at, "HTTP 500"
	if err := s.SaveDelivery(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Invariant: a database that moves from SQLite to PostgreSQL and back is unchanged.
func TestExportAndImport(t *testing.T) {
	url := storetest.StartPostgres(t).Database()
	old, moved := []string{"CALLSCREEN_DATA_DIR=" + history(t)}, []string{"CALLSCREEN_DATABASE=" + url}
	code, text, errs := verb(t, old, "", "export")
	if code != 0 || !strings.HasSuffix(text, "}}\n") || !strings.Contains(text, `{"end":true,`) {
		t.Fatalf("exit code %d\n%s%s", code, text, errs)
	}
	if code, _, errs := verb(t, moved, text, "import"); code != 1 || !strings.Contains(errs, "hint: run callscreen migrate") {
		t.Errorf("into a database without tables: %d %s", code, errs)
	}
	for range 2 { // the second time changes nothing
		if code, out, errs := verb(t, moved, "", "migrate"); code != 0 || out != "the tables are up to date\n" {
			t.Fatal(code, out, errs)
		}
	}
	for name, broken := range map[string]string{
		"cut off":  text[:len(text)-40],
		"no end":   text[:strings.LastIndex(strings.TrimSpace(text), "\n")+1],
		"a gap":    text[strings.Index(text, "\n")+1:],
		"no lines": "",
		"not json": "hello\n",
		"a table":  `{"table":"river_job","row":{"id":1}}` + "\n",
		"a column": `{"table":"call","row":{"id":"x","colour":"red"}}` + "\n",
	} {
		if code, out, errs := verb(t, moved, broken, "import"); code != 1 || out != "" || !strings.Contains(errs, "import: ") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, errs)
		}
	}
	if code, out, errs := verb(t, moved, text, "import"); code != 0 || !strings.Contains(out, "call: 1\n") {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	if code, _, errs := verb(t, moved, text, "import"); code != 1 || !strings.Contains(errs, "already") {
		t.Errorf("a second time: %d %s", code, errs)
	}
	if code, out, errs := verb(t, moved, "", "audit", "verify"); code != 0 || !strings.Contains(out, "the audit is intact: 1 lines") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	code, again, errs := verb(t, moved, "", "export")
	if code != 0 || !sameRows(t, text, again) {
		t.Errorf("exit code %d %s\nbefore:\n%s\nafter:\n%s", code, errs, text, again)
	}
}

// sameRows compares exports; a database may write a number in another way.
func sameRows(t *testing.T, a, b string) bool {
	t.Helper()
	normal := func(text string) (lines []string) {
		for line := range strings.Lines(text) {
			var v any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(data))
		}
		return lines
	}
	return strings.Join(normal(a), "\n") == strings.Join(normal(b), "\n")
}

func TestAuditVerb(t *testing.T) {
	dir := history(t)
	environ := []string{"CALLSCREEN_DATA_DIR=" + dir}
	if code, out, errs := verb(t, environ, "", "audit", "print", "c-1"); code != 0 ||
		!strings.Contains(out, `"what":"call.decided"`) || !strings.Contains(out, `"hash":"`) {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, out, _ := verb(t, environ, "", "audit", "print", "other"); code != 0 || out != "" {
		t.Errorf("%d %s", code, out)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "callscreen.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keptHeads(t, environ, db)
	if _, err := db.Exec("UPDATE audit SET actor = 'nobody' WHERE seq = 1"); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := verb(t, environ, "", "audit", "verify"); code != 1 || out != "" ||
		!strings.Contains(errs, "audit line 1: was changed") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, _, errs := verb(t, []string{"CALLSCREEN_DATA_DIR=" + t.TempDir()}, "", "audit", "verify"); code != 1 ||
		!strings.Contains(errs, "hint: check data_dir") {
		t.Errorf("%d %s", code, errs)
	}
}

// keptHeads cuts off and rewrites the end of the audit as a writer of the database can, with its stored head. audit verify
// detects it if it is given a head that was kept elsewhere. In the end the audit is as before.
func keptHeads(t *testing.T, environ []string, db *sql.DB) {
	t.Helper()
	dir := t.TempDir()
	replayed := func(times int) {
		t.Helper()
		for range times {
			if code, _, errs := verb(t, environ, "", "webhooks", "replay", "msg_1", "crm"); code != 0 {
				t.Fatal(errs)
			}
			if _, err := db.Exec("UPDATE webhook_delivery SET state = 'dead' WHERE message_id = 'msg_1'"); err != nil {
				t.Fatal(err)
			}
		}
	}
	replayed(3)
	key, file := filepath.Join(dir, "audit.key"), filepath.Join(dir, "head.txt")
	code, public, errs := verb(t, nil, "", "audit", "keygen", "bank.example", key)
	if code != 0 || !strings.HasPrefix(public, "bank.example+") {
		t.Fatalf("%d %s%s", code, public, errs)
	}
	code, head, errs := verb(t, append(environ, "CALLSCREEN_AUDIT_KEY_FILE="+key), "", "audit", "head")
	if code != 0 || !strings.Contains(head, "— bank.example ") {
		t.Fatalf("%d %s%s", code, head, errs)
	}
	if err := os.WriteFile(file, []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(want int, says string) {
		t.Helper()
		code, out, errs := verb(t, environ, "", "audit", "verify", "--head", file, "--key", public)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("%d, want %d and %q: %s%s", code, want, says, out, errs)
		}
	}
	verify(0, "it contains 1 kept heads")
	run := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	run("CREATE TABLE kept AS SELECT * FROM audit", "CREATE TABLE kept_head AS SELECT * FROM audit_head")
	const toLast = "UPDATE audit_head SET seq = (SELECT max(seq) FROM audit), hash = (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1)"
	run("DELETE FROM audit WHERE seq > 1", toLast)
	if code, out, errs := verb(t, environ, "", "audit", "verify"); code != 0 {
		t.Errorf("without a kept head: %d %s%s", code, out, errs)
	}
	verify(1, "the end of the chain is missing, the kept head is line")
	run("DELETE FROM audit", "UPDATE audit_head SET seq = 0, hash = ''")
	verify(1, "audit line 1: the end of the chain is missing")
	// Lines are written again until there are as many as before.
	run("INSERT INTO audit SELECT * FROM kept WHERE seq = 1", toLast)
	replayed(5)
	verify(1, "the chain was rewritten")
	run("DELETE FROM audit", "INSERT INTO audit SELECT * FROM kept", "DROP TABLE kept")
	run("DELETE FROM audit_head", "INSERT INTO audit_head SELECT * FROM kept_head", "DROP TABLE kept_head")
	verify(0, "it contains 1 kept heads")
	if code, _, errs := verb(t, environ, "", "audit", "verify", "--key", public); code != 2 || !strings.Contains(errs, "add --head FILE") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestWebhooksVerb(t *testing.T) {
	environ := []string{"CALLSCREEN_DATA_DIR=" + history(t)}
	if code, out, errs := verb(t, environ, "", "webhooks", "list"); code != 0 || !strings.Contains(out, "msg_1") ||
		!strings.Contains(out, "HTTP 500") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	for _, args := range [][]string{{"replay"}, {"replay", "msg_1"}, {"replay", "--all", "msg_1", "crm"}} {
		if code, _, errs := verb(t, environ, "", append([]string{"webhooks"}, args...)...); code != 2 ||
			!strings.Contains(errs, "hint: callscreen webhooks list") {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
	if code, _, errs := verb(t, environ, "", "webhooks", "replay", "msg_1", "other"); code != 1 ||
		!strings.Contains(errs, "no such undeliverable message") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := verb(t, environ, "", "webhooks", "replay", "msg_1", "crm"); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	if code, out, errs := verb(t, environ, "", "webhooks", "replay", "--all"); code != 0 || !strings.Contains(out, "0 messages") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, _, errs := verb(t, environ, "", "webhooks", "enable", "crm"); code != 1 || !strings.Contains(errs, "is not disabled") {
		t.Errorf("%d %s", code, errs)
	}
	if code, out, _ := verb(t, environ, "", "audit", "print", "c-1"); code != 0 || !strings.Contains(out, `"what":"webhook.replayed"`) ||
		!strings.Contains(out, `"actor":"operator`) {
		t.Errorf("%d %s", code, out)
	}
}
