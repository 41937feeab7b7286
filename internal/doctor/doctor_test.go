package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
	"callscreen/internal/doctor"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a healthy environment, which a test can change.
type world struct {
	reach, submit, database, audio, sync, bind, buffer, find error
	free                                                     int64
	most                                                     int
	date                                                     time.Time
	fresh                                                    bool // there is no database yet
	kept                                                     doctor.Kept
	look                                                     error
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func well() *world { return &world{free: 1e12, most: 4 << 20, date: noon} }

func (w *world) Reach(context.Context, string) (time.Time, error) { return w.date, w.reach }
func (w *world) Submit(context.Context, config.Config) error      { return w.submit }
func (w *world) Database(context.Context, config.Config) (made bool, _ error) {
	return !w.fresh, w.database
}
func (w *world) Audio(context.Context, config.Config) error { return w.audio }
func (w *world) Kept(context.Context, config.Config) (doctor.Kept, error) {
	return w.kept, w.look
}
func (w *world) Free(string) (int64, error)                 { return w.free, nil }
func (w *world) Sync(string) error                          { return w.sync }
func (w *world) Bind(int) error                             { return w.bind }
func (w *world) ReceiveBuffer() (most, want int, err error) { return w.most, 4 << 20, w.buffer }
func (w *world) Find(string) error                          { return w.find }
func (w *world) Now() time.Time                             { return noon }

// Every warning and error occurs in a test, names its check, has one line, and has a hint.
func TestEveryFaultIsFoundAndHasAHint(t *testing.T) {
	broken := errors.New("it is\nbroken")
	for name, c := range map[string]struct {
		change func(*world, *config.Config)
		check  string
		level  doctor.Level
	}{
		"nothing":               {func(*world, *config.Config) {}, "", doctor.OK},
		"no database yet":       {func(w *world, _ *config.Config) { w.fresh = true }, "", doctor.OK},
		"no time from the API":  {func(w *world, _ *config.Config) { w.date = time.Time{} }, "", doctor.OK},
		"a buffer nobody knows": {func(w *world, _ *config.Config) { w.buffer = errors.ErrUnsupported }, "", doctor.OK},
		"a tone that has no voice": {
			func(w *world, _ *config.Config) { w.submit = &analyzer.Error{Kind: analyzer.KindJobFailed} },
			"",
			doctor.OK,
		},
		"a plan that fills the list of those who wait": {
			func(_ *world, c *config.Config) { c.Analysis.EnoughSpeech = time.Minute },
			"configuration",
			doctor.Warning,
		},
		"a value that makes no sense": {func(_ *world, c *config.Config) { c.Analysis.MaxInFlight = 0 }, "configuration", doctor.Error},
		"no key":                      {func(_ *world, c *config.Config) { c.Analysis.APIKey = "" }, "key", doctor.Error},
		"no network":                  {func(w *world, _ *config.Config) { w.reach = broken }, "api", doctor.Error},
		"a slow clock":                {func(w *world, _ *config.Config) { w.date = noon.Add(time.Minute) }, "clock", doctor.Warning},
		"a fast clock":                {func(w *world, _ *config.Config) { w.date = noon.Add(-time.Hour) }, "clock", doctor.Warning},
		"no database":                 {func(w *world, _ *config.Config) { w.database = broken }, "database", doctor.Error},
		"old tables": {func(w *world, _ *config.Config) {
			w.database = fmt.Errorf("%w (hint: run callscreen migrate)", store.ErrSchema)
		}, "database", doctor.Error},
		"no audio store": {func(w *world, c *config.Config) { w.audio, c.Audio = broken, "s3://x" }, "audio", doctor.Error},
		"audio that is refused": {func(w *world, _ *config.Config) {
			w.kept.Rows = []store.Stuck{{Kind: store.StuckAudio, Where: "n1", Count: 3, Call: "c"}}
		}, "retention", doctor.Warning},
		"audio of a lost node": {func(w *world, _ *config.Config) {
			w.kept.Rows = []store.Stuck{{Kind: store.StuckLostNode, Where: "n1", Count: 3, Call: "c"}}
		}, "retention", doctor.Warning},
		"audio of erased calls": {func(w *world, _ *config.Config) {
			w.kept.Rows = []store.Stuck{{Kind: store.StuckErasedAudio, Where: "n1", Count: 3, Call: "c"}}
		}, "retention", doctor.Warning},
		"messages to an endpoint that is not configured": {func(w *world, _ *config.Config) {
			w.kept.Rows = []store.Stuck{{Kind: store.StuckWebhook, Where: "n1", Count: 3, Call: "c"}}
		}, "retention", doctor.Warning},
		"a file without a call": {
			func(w *world, _ *config.Config) { w.kept.Files = []string{"orphans/a.wav"} },
			"retention",
			doctor.Warning,
		},
		"a file to be rewritten":        {func(w *world, _ *config.Config) { w.kept.Unclean = true }, "retention", doctor.Warning},
		"retention that cannot be read": {func(w *world, _ *config.Config) { w.look = broken }, "retention", doctor.Warning},
		"a full disk":                   {func(w *world, _ *config.Config) { w.free = 1e6 }, "disk", doctor.Error},
		"a disk that is nearly full":    {func(w *world, _ *config.Config) { w.free = 600e6 }, "disk", doctor.Warning},
		"a disk that does not sync":     {func(w *world, _ *config.Config) { w.sync = broken }, "disk", doctor.Error},
		"a port that is taken":          {func(w *world, _ *config.Config) { w.bind = syscall.EADDRINUSE }, "port", doctor.Warning},
		"a port that cannot be had":     {func(w *world, _ *config.Config) { w.bind = syscall.EACCES }, "port", doctor.Error},
		"any port":                      {func(_ *world, c *config.Config) { c.WebRTC.UDPPort = 0 }, "port", doctor.Warning},
		"a small buffer":                {func(w *world, _ *config.Config) { w.most = 212992 }, "buffer", doctor.Warning},
		"a buffer that cannot be read":  {func(w *world, _ *config.Config) { w.buffer = broken }, "buffer", doctor.Warning},
		"no ffmpeg":                     {func(w *world, _ *config.Config) { w.find = broken }, "ffmpeg", doctor.Warning},
		"a key that is refused": {
			func(w *world, _ *config.Config) { w.submit = &analyzer.Error{Kind: analyzer.KindUnauthorized} },
			"submit",
			doctor.Error,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, cfg := well(), config.Default()
			cfg.Analysis.APIKey = "key"
			c.change(w, &cfg)
			all := doctor.Examine(t.Context(), w, cfg, true)
			worst := doctor.Finding{Level: doctor.OK}
			for _, f := range all {
				if (f.Level == doctor.OK) != (f.Hint == "") || f.Message == "" || strings.Contains(f.Message+f.Hint, "\n") {
					t.Errorf("a finding without what belongs to it: %+v", f)
				}
				if f.Level != doctor.OK && worst.Level != doctor.Error {
					worst = f
				}
			}
			if worst.Level != c.level || worst.Check != c.check {
				if name != "no key" || worst.Level != doctor.Error { // nor can anything be submitted then
					t.Errorf("found %+v, want %s of %q", worst, c.level, c.check)
				}
			}
			if doctor.Failed(all) != (c.level == doctor.Error) {
				t.Errorf("failed: %v", doctor.Failed(all))
			}
			var b bytes.Buffer
			if err := doctor.Print(&b, all); err != nil || strings.Count(b.String(), "\n") != len(all) {
				t.Errorf("%v\n%s", err, b.String())
			}
		})
	}
}

func TestEachProblemOfTheConfigurationIsAFinding(t *testing.T) {
	all := doctor.Misconfigured(config.Problems{{Path: "a", Message: "b", Hint: "c"}, {Path: "d", Message: "e", Hint: "f"}})
	if len(all) != 2 || all[1] != (doctor.Finding{Check: "configuration", Level: doctor.Error, Message: "d: e", Hint: "f"}) {
		t.Errorf("%+v", all)
	}
	if all := doctor.Misconfigured(errors.New("x")); all[0].Hint == "" {
		t.Errorf("%+v", all)
	}
}

// On the real machine, a reached server gets neither key nor audio, and no file is left on the disk.
func TestTheMachine(t *testing.T) {
	var seen atomic.Pointer[http.Request]
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r)
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	}))
	defer wrong.Close()
	cfg := config.Default()
	cfg.Analysis.APIKey, cfg.Analysis.BaseURL, cfg.DataDir = "geheim", wrong.URL, filepath.Join(t.TempDir(), "a", "b")
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cfg.WebRTC.UDPPort = c.LocalAddr().(*net.UDPAddr).Port
	levels := map[string]doctor.Level{}
	for _, f := range doctor.Examine(t.Context(), doctor.Machine{UserAgent: "callscreen/test"}, cfg, false) {
		levels[f.Check] = f.Level
	}
	for check, want := range map[string]doctor.Level{"api": doctor.OK, "clock": doctor.OK, "database": doctor.OK, "port": doctor.Warning} {
		if levels[check] != want {
			t.Errorf("%s is %s, want %s", check, levels[check], want)
		}
	}
	if r := seen.Load(); r == nil || r.Method != http.MethodHead || r.ContentLength > 0 || strings.Contains(fmt.Sprint(r.Header), "geheim") {
		t.Errorf("a wrong host was sent %+v", r)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(cfg.DataDir)), "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestTheMachineOpensADatabaseAndSubmits(t *testing.T) {
	cfg := config.Default()
	cfg.DataDir, cfg.Analysis.APIKey, cfg.Analysis.PollInitial = t.TempDir(), "good", 5*time.Millisecond
	stand := simulator.New(simulator.Script{Token: "good"})
	api := httptest.NewServer(stand)
	defer api.Close()
	cfg.Analysis.BaseURL = api.URL
	m := doctor.Machine{}
	if err := m.Submit(t.Context(), cfg); err != nil || len(stand.Uploads()) != 1 {
		t.Errorf("%v, %d uploads", err, len(stand.Uploads()))
	}
	cfg.Analysis.APIKey = "bad"
	if err := m.Submit(t.Context(), cfg); analyzer.Reason(err) != "unauthorized" {
		t.Errorf("a bad key: %v", err)
	}
	if err := store.Migrate(t.Context(), store.Options{Dir: cfg.DataDir}); err != nil {
		t.Fatal(err)
	}
	if made, err := m.Database(t.Context(), cfg); !made || err != nil {
		t.Errorf("%v %v", made, err)
	}
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "callscreen.db"), []byte("no database, whatever its name is"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Database(t.Context(), cfg); err == nil {
		t.Error("a file that is no database is no error")
	}
	cfg.Audio = "s3://bucket?endpoint=http://127.0.0.1:1"
	if err := m.Audio(t.Context(), cfg); err == nil {
		t.Error("an audio store that is not there is no error")
	}
}

// The real machine lists what retention and erasure have left, each with its name.
func TestTheMachineListsWhatIsKept(t *testing.T) {
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	m := doctor.Machine{}
	if k, err := m.Kept(t.Context(), cfg); err != nil || len(k.Rows)+len(k.Files) != 0 || k.Unclean {
		t.Errorf("without a database: %+v %v", k, err)
	}
	s := storetest.SQLite(t, cfg.DataDir)
	long := time.Now().Add(-48 * time.Hour)
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.AddMessage(t.Context(), store.Message{ID: "m", Event: "e", CreatedAt: long, Body: "{}"}, []string{"removed"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(cfg.DataDir, "spool", "orphans"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "spool", "orphans", "a.wav"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := m.Kept(t.Context(), cfg)
	if err != nil || len(k.Rows) != 1 || k.Rows[0].Where != "removed" || len(k.Files) != 1 || k.Unclean {
		t.Errorf("%+v %v", k, err)
	}
}
