package screen_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callscreen/encode"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
)

// What was taken survives the end of the process: the next one delivers it, and knows which calls were interrupted.
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
	// Nothing was delivered yet, and nothing is closed in order.
	if err := before.store.Close(); err != nil { // it would hold the lock
		t.Fatal(err)
	}
	after := newNode(t, options{dir: dir})
	own := map[store.PartKey]bool{}
	if after.courier.Parts(own); len(own) != 2 || !own[ended.PartKey] || !own[broken.PartKey] {
		t.Errorf("%v", own)
	}
	after.drain()
	r := after.report("ended")
	if states(r) != "caller0 recorded, caller1 recorded, caller2 recorded" || r.State != "ended" || r.Metadata["queue"] != "payments" || len(r.Warnings) != 0 {
		t.Errorf("%s %+v", states(r), r)
	}
	r = after.report("broken")
	if states(r) != "agent0 skipped/too_little_speech, caller0 recorded" || r.State != "ended" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "interrupted") {
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

// compareAudio holds what is in the audio store to what was recorded, and to its hash.
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

// However many calls there are at a time, each part arrives in its order, and its end after all of its segments.
func TestTheEndOfAPartNeverOvertakesItsSegments(t *testing.T) {
	t.Parallel()
	parts, segments := 24, 10
	if testing.Short() {
		parts, segments = 8, 6
	}
	var n *node
	look := func(call string) {
		// Of one moment: a transaction for both would be the same.
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
				t.Errorf("call %s has segment %d at place %d", call, g.Seq, i)
			}
		}
		if c.State == store.CallEnded && len(list) != segments {
			t.Errorf("call %s has ended with %d segments", call, len(list))
		}
	}
	n = newNode(t, options{desk: func(c *screen.DeskConfig) { c.OnCommit = look }})
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
	if st := n.spool.Stats(); st.Entries != 0 || n.log.errors() != 0 {
		t.Errorf("%+v %s", st, n.log.String())
	}
}

// An audio store that is away delays delivery. It is told once, and when it is back all is delivered, and nothing twice.
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
		t.Error("the trouble is forgotten because something else was delivered")
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
	if log := n.log.String(); n.log.errors() != 1 || strings.Count(log, "delivered again") != 1 || !strings.Contains(log, "connection refused") || !strings.Contains(log, "nothing is lost") {
		t.Error(log)
	}
	if _, since := n.courier.Waiting(); !since.IsZero() {
		t.Error(since)
	}
}

// What cannot be delivered for too long is given up, loudly: its audio is deleted while the trouble lasts, and its segment
// counts as failed.
func TestAudioThatIsTooOldIsGivenUp(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{courier: func(c *screen.CourierConfig) { c.MaxAge = 24 * time.Hour }})
	n.audio.fail(errors.New("connection refused"))
	n.record(n.part("a", 0), 3)
	n.clock.advance(25 * time.Hour)
	stop := n.carry()
	n.await("the audio is deleted", func() bool {
		return !slices.ContainsFunc(n.spool.Entries(), func(e spool.Entry) bool { return e.Audio })
	})
	n.audio.fail(nil)
	r := n.final("a")
	stop()
	if states(r) != "caller0 failed/storage, caller1 failed/storage, caller2 failed/storage" || r.Decision != "inconclusive" || !slices.Contains(r.Reasons, "storage") || !r.Review {
		t.Errorf("%s %+v", states(r), r)
	}
	if !strings.Contains(r.Segments[0].Detail, "24h0m0s") || r.Segments[0].Audio {
		t.Errorf("%+v", r.Segments[0])
	}
	if log := n.log.String(); strings.Count(log, "counts as failed") != 3 || n.log.errors() < 3 {
		t.Error(log)
	}
}

// The same while it is the database that is away, of which nothing can be asked then.
func TestAudioThatIsTooOldIsGivenUpWithoutADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := func(c *screen.CourierConfig) { c.MaxAge = 24 * time.Hour }
	n := newNode(t, options{dir: dir, courier: old})
	n.record(n.part("a", 0), 3)
	n.clock.advance(23 * time.Hour)
	if err := n.courier.Take(n.part("b", 0), piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	n.clock.advance(2 * time.Hour)
	stop := n.carry()
	n.await("the old audio is deleted", func() bool { return strings.Count(n.log.String(), "counts as failed") == 3 })
	stop()
	audio := 0
	for _, e := range n.spool.Entries() {
		if e.Audio {
			audio++
		}
	}
	if audio != 1 {
		t.Errorf("the audio of %d segments is left", audio)
	}
	again := newNode(t, options{dir: dir, courier: old, clock: n.clock})
	again.drain()
	if r := again.report("a"); states(r) != "caller0 failed/storage, caller1 failed/storage, caller2 failed/storage" || r.Decision != "inconclusive" || !r.Final {
		t.Errorf("%s %+v", states(r), r)
	}
	if r := again.report("b"); states(r) != "caller0 recorded" {
		t.Errorf("%s %+v", states(r), r)
	}
}

// What is given up may have got as far as the audio store. There it is deleted too, for no row would ever tell of it.
func TestGivenUpAudioIsDeletedWhereverItIs(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{courier: func(c *screen.CourierConfig) { c.MaxAge = 24 * time.Hour }})
	n.record(n.part("a", 0), 2)
	id := n.spool.Entries()[1].ID
	key := id[9:11] + "/" + id + ".wav"
	if err := n.audio.Store.Put(t.Context(), key, n.spool.AudioPath(id)); err != nil {
		t.Fatal(err)
	}
	n.clock.advance(25 * time.Hour)
	n.drain()
	if r := n.report("a"); states(r) != "caller0 failed/storage, caller1 failed/storage" || !r.Final {
		t.Errorf("%s %+v", states(r), r)
	}
	if n.audio.has(t, key) || n.spool.Stats().Entries != 0 {
		t.Errorf("audio is left; %+v", n.spool.Stats())
	}
}

func TestYoungAudioIsNotGivenUp(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{courier: func(c *screen.CourierConfig) { c.MaxAge = 24 * time.Hour }})
	n.clock.advance(23 * time.Hour)
	n.record(n.part("a", 0), 2)
	n.clock.advance(23 * time.Hour)
	n.drain()
	if r := n.report("a"); states(r) != "caller0 recorded, caller1 recorded" {
		t.Error(states(r))
	}
}

// A spool that is full loses audio, and that is a failed segment: the call is inconclusive, and never clear.
func TestAFullSpoolMakesACallInconclusive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		most   int64
		failed int
		want   string
	}{
		"there is room":   {1_000_000, 0, "clear"},
		"for one segment": {130_000, 2, "inconclusive"},
		"for none":        {1000, 3, "inconclusive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{spool: spool.Config{MaxBytes: c.most}})
			p := n.part("a", 0)
			lost := 0
			for i := range 3 {
				if err := n.courier.Take(p, piece("caller", i)); err != nil {
					if lost++; !errors.Is(err, spool.ErrFull) || !strings.Contains(err.Error(), "segment") {
						t.Error(err)
					}
				}
			}
			n.end(p)
			n.drain()
			n.work(nil)
			r := n.final("a")
			if r.Decision != c.want || lost != c.failed || strings.Count(states(r), "failed/storage") != c.failed || len(r.Segments) != 3 {
				t.Errorf("%d lost, %s, %s %v", lost, states(r), r.Decision, r.Reasons)
			}
			if c.failed > 0 && (!slices.Contains(r.Reasons, "storage") || !r.Review) {
				t.Errorf("%v", r.Reasons)
			}
		})
	}
}

// On a disk on which not even a note fits, a lost segment and the end of its call are kept in memory until there is room.
func TestADiskOnWhichNoNoteFits(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	small := filepath.Join(dir, "spool")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("callscreen-test", small, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Skip("a small disk cannot be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	n := newNode(t, options{dir: dir})
	p := n.part("a", 0)
	if err := n.courier.Take(p, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(small, "filler.txt")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil { // as much as there is
		t.Fatal("the disk is not small")
	}
	if err := n.courier.Take(p, piece("caller", 1)); !errors.Is(err, spool.ErrNoSpace) || !strings.Contains(err.Error(), "kept in memory") {
		t.Error(err)
	}
	if err := n.courier.Take(p, silence("caller", 2)); !errors.Is(err, spool.ErrNoSpace) {
		t.Error(err)
	}
	p.EndedAt = time.UnixMilli(p.Part + 60_000).UTC()
	if err := n.courier.Progress(p); !errors.Is(err, spool.ErrNoSpace) {
		t.Error(err)
	}
	n.drain()
	n.work(nil)
	r := n.final("a")
	if states(r) != "caller0 scored, caller1 failed/storage, caller2 skipped/too_little_speech" || r.Decision != "inconclusive" {
		t.Errorf("%s %+v", states(r), r)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(small); err != nil || len(list) != 0 {
		t.Errorf("left in the spool: %v %v", list, err)
	}
}

// What was written down right before the process ended is delivered once more. That changes nothing, and audio that was
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
	if err := n.idle().Sweep(t.Context()); err != nil { // clear calls are not kept at all
		t.Fatal(err)
	}
	var keys []string
	for _, s := range r.Segments {
		keys = append(keys, s.ID[9:11]+"/"+s.ID+".wav")
	}
	if n.audio.has(t, keys[0]) || n.audio.has(t, keys[1]) || r.Decision != "clear" {
		t.Fatalf("%+v", r)
	}
	// As if the process had ended before the spool let go of it.
	if err := os.CopyFS(filepath.Join(dir, "again", "spool"), os.DirFS(saved)); err != nil {
		t.Fatal(err)
	}
	again := newNode(t, options{dir: filepath.Join(dir, "again"), store: n.store, audio: n.audio})
	again.drain()
	after := again.report("a")
	if len(after.Segments) != 2 || after.Decision != "clear" || !after.Final || again.audited("a", store.AuditDecided) != 1 || again.log.errors() != 0 {
		t.Errorf("%s %+v\n%s", states(after), after, again.log.String())
	}
	for _, key := range keys {
		if again.audio.has(t, key) {
			t.Errorf("%s is back", key)
		}
	}
	if again.spool.Stats().Entries != 0 {
		t.Errorf("%+v", again.spool.Stats())
	}
}

// Audio that somebody takes away is a failed segment, not a call that waits for ever.
func TestAudioThatIsGoneFromTheSpool(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.record(n.part("a", 0), 2)
	if err := os.Remove(n.spool.AudioPath(n.spool.Entries()[1].ID)); err != nil {
		t.Fatal(err)
	}
	n.drain()
	n.work(nil)
	if r := n.final("a"); states(r) != "caller0 scored, caller1 failed/storage" || r.Decision != "inconclusive" || n.log.errors() != 1 {
		t.Errorf("%s %+v", states(r), r)
	}
}
