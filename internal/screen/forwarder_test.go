package screen_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"callscreen/encode"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// Spooled segments survive a crash. The next process delivers them and ends the interrupted calls.
func TestWhatWasTakenSurvivesACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := newNode(t, options{dir: dir})
	ended, broken := before.part("ended", 0), before.part("broken", 5)
	before.record(ended, 3)
	if err := before.courier.Progress(broken); err != nil {
		t.Fatal(err)
	}
	if err := before.courier.Take(broken, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	if err := before.courier.Take(broken, silence("agent", 0)); err != nil {
		t.Fatal(err)
	}
	if n, _ := before.courier.Waiting(); n != 7 || len(before.spool.Entries()) != 7 {
		t.Errorf("%d wait, %d entries", n, len(before.spool.Entries()))
	}
	// Nothing is delivered yet, and there is no orderly shutdown.
	if err := before.store.Close(); err != nil { // releases the lock of the database
		t.Fatal(err)
	}
	after := newNode(t, options{dir: dir})
	own := map[store.PartKey]bool{}
	if after.courier.Parts(own); len(own) != 2 || !own[ended.PartKey] || !own[broken.PartKey] {
		t.Errorf("%v", own)
	}
	after.drain()
	r := after.report("ended")
	if states(r) != "caller0 recorded, caller1 recorded, caller2 recorded" || r.State != "ended" || r.Metadata["queue"] != "payments" ||
		len(r.Warnings) != 0 {
		t.Errorf("%s %+v", states(r), r)
	}
	r = after.report("broken")
	if states(r) != "agent0 skipped/too_little_speech, caller0 recorded, agent-1 failed/interrupted, caller-1 failed/interrupted" ||
		r.State != "ended" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "interrupted") {
		t.Errorf("%s %+v", states(r), r)
	}
	for _, s := range r.Segments {
		if s.State == "recorded" {
			compareAudio(t, after, s.ID, piece("caller", 0).PCM)
		}
	}
	if st := after.spool.Stats(); st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
	if n, trouble := after.courier.Waiting(); n != 0 || !trouble.IsZero() {
		t.Error(n, trouble)
	}
	after.work(nil)
	if r := after.final("ended"); r.Decision != "clear" {
		t.Errorf("%+v", r)
	}
}

// compareAudio compares the audio of a segment in the audio store with the recorded samples and with its hash.
func compareAudio(t *testing.T, n *node, id string, pcm []int16) {
	t.Helper()
	g, err := n.store.Segment(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	o, size, err := n.audio.Open(t.Context(), g.AudioKey)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(o); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "want.wav"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := encode.WriteWAV(f, 16000, pcm); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got.Bytes(), want) || size != int64(len(want)) || g.AudioBytes != size || g.AudioSHA256 != sum(want) {
		t.Errorf("the audio of %s: %d bytes, %v", id, got.Len(), err)
	}
	if len(g.Voiced) != 1 || g.Voiced[0] != [2]int64{1600, 48000} {
		t.Errorf("%v", g.Voiced)
	}
}

// With many calls at a time, the segments of each part arrive in order, and the end of the part after all of them.
func TestTheEndOfAPartNeverOvertakesItsSegments(t *testing.T) {
	t.Parallel()
	parts, segments := 24, 10
	if testing.Short() {
		parts, segments = 8, 6
	}
	var n *node
	look := func(call string) {
		// The call is read before its segments. An end that is seen here must come after all segments.
		c, err := n.store.Call(context.Background(), call)
		if err != nil {
			t.Error(err)
			return
		}
		list, err := n.store.Segments(context.Background(), call)
		if err != nil {
			t.Error(err)
			return
		}
		for i, g := range list {
			if g.Seq != i {
				t.Errorf("call %s has segment %d at position %d", call, g.Seq, i)
			}
		}
		if c.State == store.CallEnded && len(list) != segments {
			t.Errorf("call %s has ended with %d segments", call, len(list))
		}
	}
	n = newNode(t, options{desk: func(c *screen.DeciderConfig) { c.OnCommit = look }})
	stop := n.carry()
	var recording sync.WaitGroup
	for i := range parts {
		recording.Go(func() {
			p := n.part(fmt.Sprintf("call-%d", i), int64(i))
			for seq := range segments {
				seg := silence("caller", seq)
				if seq%4 == 0 {
					seg = piece("caller", seq)
					seg.PCM, seg.Voiced = seg.PCM[:160], nil
				}
				if err := errors.Join(n.courier.Progress(p), n.courier.Take(p, seg)); err != nil {
					t.Error(err)
				}
			}
			n.end(p)
		})
	}
	recording.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.courier.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	for i := range parts {
		call := fmt.Sprintf("call-%d", i)
		if r := n.report(call); r.State != "ended" || len(r.Segments) != segments {
			t.Errorf("%s: %+v", call, r)
		}
	}
	if st := n.spool.Stats(); st.Entries != 0 || n.log.Errors() != 0 {
		t.Errorf("%+v %s", st, n.log.String())
	}
}

// An outage of the audio store delays delivery and is logged once. After it, all audio is delivered, and each file once.
func TestAnAudioStoreThatIsAwayAndComesBack(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.audio.fail(errors.New("connection refused"))
	stop := n.carry()
	n.record(n.part("a", 0), 3)
	n.record(n.part("b", 1), 2)
	n.await("the trouble is known", func() bool { _, since := n.courier.Waiting(); return !since.IsZero() })
	quiet := n.part("c", 2)
	if err := n.courier.Take(quiet, silence("caller", 0)); err != nil {
		t.Fatal(err)
	}
	n.end(quiet)
	n.await("what has no audio is delivered", func() bool { return n.report("c").State == "ended" })
	if _, since := n.courier.Waiting(); since.IsZero() {
		t.Error("the delivery of another document reset the error")
	}
	n.audio.fail(nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.courier.Drain(ctx); err != nil {
		t.Fatalf("%v\n%s", err, n.log.String())
	}
	stop()
	if a, b := n.report("a"), n.report("b"); len(a.Segments) != 3 || len(b.Segments) != 2 || a.State != "ended" || b.State != "ended" {
		t.Errorf("%s; %s", states(a), states(b))
	}
	for key, times := range n.audio.puts {
		if times != 1 {
			t.Errorf("%s was delivered %d times", key, times)
		}
	}
	if log := n.log.String(); n.log.Errors() != 1 || strings.Count(log, "delivery recovered") != 1 ||
		!strings.Contains(log, "connection refused") ||
		!strings.Contains(log, "nothing is lost") {
		t.Error(log)
	}
	if _, since := n.courier.Waiting(); !since.IsZero() {
		t.Error(since)
	}
}

// A document that was delivered right before a crash is delivered again. This changes nothing, and audio that retention has
// deleted in the meantime does not come back.
func TestWhatWasDeliveredBeforeACrashIsNotDeliveredAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, options{dir: dir})
	p := n.part("a", 0)
	n.record(p, 2)
	saved := filepath.Join(dir, "saved")
	if err := os.CopyFS(saved, os.DirFS(filepath.Join(dir, "spool"))); err != nil {
		t.Fatal(err)
	}
	n.drain()
	stop := n.work(nil)
	r := n.final("a")
	stop()
	if err := n.idle().Sweep(t.Context()); err != nil { // deletes the audio: the retention of clear calls is 0
		t.Fatal(err)
	}
	var keys []string
	for _, s := range r.Segments {
		keys = append(keys, s.ID[9:11]+"/"+s.ID+".wav")
	}
	if n.audio.has(t, keys[0]) || n.audio.has(t, keys[1]) || r.Decision != "clear" {
		t.Fatalf("%+v", r)
	}
	// The saved copy of the spool is its state at a crash before the entries were removed.
	if err := os.CopyFS(filepath.Join(dir, "again", "spool"), os.DirFS(saved)); err != nil {
		t.Fatal(err)
	}
	again := newNode(t, options{dir: filepath.Join(dir, "again"), store: n.store, audio: n.audio})
	again.drain()
	after := again.report("a")
	if len(after.Segments) != 2 || after.Decision != "clear" || !after.Final || again.audited("a", store.AuditDecided) != 1 ||
		again.log.Errors() != 0 {
		t.Errorf("%s %+v\n%s", states(after), after, again.log.String())
	}
	for _, key := range keys {
		if again.audio.has(t, key) {
			t.Errorf("deleted audio %s is stored again", key)
		}
	}
	if again.spool.Stats().Entries != 0 {
		t.Errorf("%+v", again.spool.Stats())
	}
}

// A call whose first seconds were lost in a crash, before their first segment was cut, is not clear even if its later segments
// are.
func TestACallThatDiedBeforeItsFirstCutIsNotClear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := newNode(t, options{dir: dir})
	p := before.part("a", 0)
	p.Legs = []store.LegProgress{{Leg: "caller"}}
	if err := before.courier.Progress(p); err != nil {
		t.Fatal(err)
	}
	if err := before.store.Close(); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, options{dir: dir})
	n.drain()
	n.record(n.part("a", 10), 3)
	n.drain()
	n.work(nil)
	if r := n.final("a"); r.Decision != "inconclusive" || !strings.Contains(strings.Join(r.Reasons, " "), "interrupted") {
		t.Errorf("%s %v: %s", r.Decision, r.Reasons, states(r))
	}
}
