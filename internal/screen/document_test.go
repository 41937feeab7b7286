package screen_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/testkit"
)

// The ids of a segment and of a part, and their documents as the forwarder writes them.
const (
	segmentEntry = "19e70455ed8b990a207d78e4846f319d"
	partEntry    = "p-19e7044c400-4fe4f1c4d5b2a3c1"
	partKey      = `"call":"a","part":1780000000000,"node":"n1"`

	segmentDocument = `{"part":{` + partKey + `,"metadata":{"queue":"payments"}},` +
		`"segment":{"id":"` + segmentEntry + `","part_key":{` + partKey + `},"leg":"caller","seq":1,` +
		`"offset":4000000000,"duration":4000000000,"speech":4000000000,"recorded_at":"2026-11-25T15:00:00Z",` +
		`"rate":16000,"voiced":[[1600,48000]],"state":"recorded",` +
		`"audio_key":"b9/` + segmentEntry + `.wav","audio_sha256":"ab","audio_bytes":128044},"at":"2026-11-25T15:00:00Z"}`
	partDocument = `{"part":{` + partKey + `,"ended_at":"2026-11-25T15:00:00Z",` +
		`"legs":[{"leg":"caller","duration":4000000000,"lost":0}]},"at":"2026-11-25T15:00:00Z"}`
)

// strange holds documents that no forwarder writes. None may be accepted as part of a call.
var strange = map[string][2]string{
	"nothing":                         {segmentEntry, ""},
	"no JSON":                         {segmentEntry, "hello"},
	"half of it":                      {segmentEntry, segmentDocument[:len(segmentDocument)/2]},
	"zeros":                           {segmentEntry, strings.Repeat("\x00", 500)},
	"null":                            {segmentEntry, "null"},
	"a list":                          {segmentEntry, "[]"},
	"an empty object":                 {partEntry, "{}"},
	"no call":                         {partEntry, strings.Replace(partDocument, `"call":"a"`, `"call":""`, 1)},
	"no node":                         {partEntry, strings.Replace(partDocument, `"node":"n1"`, `"node":""`, 1)},
	"no time":                         {partEntry, strings.Replace(partDocument, "1780000000000", "0", 1)},
	"an open part of no time":         {partEntry, `{"part":{` + partKey + `}}`},
	"a part that ended before 1970":   {partEntry, strings.Replace(partDocument, `"ended_at":"2026`, `"ended_at":"1969`, 1)},
	"a segment of no time":            {segmentEntry, strings.Replace(segmentDocument, `"recorded_at":"2026-11-25T15:00:00Z",`, "", 1)},
	"the year 146 million":            {partEntry, strings.Replace(partDocument, "1780000000000", "4611686018427387904", 1)},
	"a part as a segment":             {segmentEntry, partDocument},
	"a segment as a part":             {partEntry, segmentDocument},
	"another segment":                 {strings.Repeat("0", 32), segmentDocument},
	"an id that is too short":         {"abc", strings.ReplaceAll(segmentDocument, segmentEntry, "abc")},
	"another part":                    {segmentEntry, strings.Replace(segmentDocument, `"call":"a"`, `"call":"b"`, 1)},
	"no state":                        {segmentEntry, strings.Replace(segmentDocument, `"state":"recorded"`, `"state":""`, 1)},
	"a score from nowhere":            {segmentEntry, strings.Replace(segmentDocument, `"state":"recorded"`, `"state":"scored"`, 1)},
	"no audio":                        {segmentEntry, strings.Replace(segmentDocument, "b9/"+segmentEntry+".wav", "", 1)},
	"audio elsewhere":                 {segmentEntry, strings.Replace(segmentDocument, "b9/", "../../", 1)},
	"audio of another":                {segmentEntry, strings.Replace(segmentDocument, "b9/"+segmentEntry, "b9/other", 1)},
	"speech before it":                {segmentEntry, strings.Replace(segmentDocument, "[1600,48000]", "[-1,48000]", 1)},
	"speech backwards":                {segmentEntry, strings.Replace(segmentDocument, "[1600,48000]", "[48000,1600]", 1)},
	"speech behind the end":           {segmentEntry, strings.Replace(segmentDocument, "[1600,48000]", "[1600,4800000000000]", 1)},
	"a call that no database takes":   {partEntry, strings.Replace(partDocument, `"call":"a"`, `"call":"a\u0000"`, 1)},
	"metadata that no database takes": {segmentEntry, strings.Replace(segmentDocument, "payments", `pay\u0000ments`, 1)},
	"a leg that no database takes":    {partEntry, strings.Replace(partDocument, `"leg":"caller"`, `"leg":"\u0000"`, 1)},
}

// lay writes the files of an entry into the folder of a spool.
func lay(t testing.TB, dir, id string, document, audio []byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for suffix, data := range map[string][]byte{".json": document, ".wav": audio} {
		if data == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, id+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The two valid documents above are delivered. Otherwise the tests of the damaged ones would prove nothing.
func TestDocumentsOfACallAreDelivered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, filepath.Join(dir, "spool"), segmentEntry, []byte(segmentDocument), []byte("audio"))
	lay(t, filepath.Join(dir, "spool"), partEntry, []byte(partDocument), nil)
	n := newNode(t, options{dir: dir})
	n.drain()
	r := n.report("a")
	if states(r) != "caller1 recorded" || r.State != "ended" || n.log.Errors() != 0 || n.spool.Stats().Entries != 0 ||
		!n.audio.has(t, "b9/"+segmentEntry+".wav") {
		t.Errorf("%s %+v\n%s", states(r), r, n.log.String())
	}
}

// A segment whose entry is missing from the spool or is not readable counts as failed: its call is not clear without it.
func TestACallIsNotClearWithoutAllThatWasCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, options{dir: dir})
	n.record(n.part("a", 0), 3)
	for _, suffix := range []string{".json", ".wav"} { // deleted by a user or lost by the file system
		if err := os.Remove(filepath.Join(dir, "spool", n.spool.Entries()[1].ID+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	n.drain()
	n.work(nil)
	n.final("a")
	if r := n.report("a"); r.Decision != "inconclusive" || states(r) != "caller0 scored, caller1 failed/storage, caller2 scored" {
		t.Errorf("%s: %s", r.Decision, states(r))
	}
}

// An invalid document stays in the spool and is logged as an error. It delays no other document, of the same call or of
// others.
func TestStrangeDocumentsKeepNothingWaiting(t *testing.T) {
	t.Parallel()
	for name, c := range strange {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			before := newNode(t, options{dir: dir})
			before.record(before.part("a", 0), 2) // some of the invalid documents name this call
			before.record(before.part("b", 0), 1)
			if err := before.store.Close(); err != nil {
				t.Fatal(err)
			}
			lay(t, filepath.Join(dir, "spool"), c[0], []byte(c[1]), nil)
			n := newNode(t, options{dir: dir})
			n.drain()
			for call, want := range map[string]string{"a": "caller0 recorded, caller1 recorded", "b": "caller0 recorded"} {
				if r := n.report(call); states(r) != want || r.State != "ended" {
					t.Errorf("%s: %s %s", call, states(r), r.State)
				}
			}
			calls, _, err := n.desk.Reports(t.Context(), store.Filter{})
			if err != nil || len(calls) != 2 {
				t.Errorf("%d calls, %v", len(calls), err)
			}
			if got := n.spool.Entries(); len(got) != 1 || got[0].ID != c[0] || n.log.Errors() != 1 || !strings.Contains(n.log.String(), c[0]) {
				t.Errorf("%+v\n%s", got, n.log.String())
			}
		})
	}
}

// A document that is damaged while the forwarder runs delays no other document either.
func TestADocumentThatIsDamagedMeanwhileKeepsNothingWaiting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, options{dir: dir})
	n.record(n.part("a", 0), 3)
	id := n.spool.Entries()[1].ID
	lay(t, filepath.Join(dir, "spool"), id, []byte("{"), nil)
	n.drain()
	if r := n.report("a"); states(r) != "caller0 recorded, caller1 failed/storage, caller2 recorded" || r.State != "ended" ||
		n.log.Errors() != 1 {
		t.Errorf("%s %+v\n%s", states(r), r, n.log.String())
	}
	if got := n.spool.Entries(); len(got) != 1 || got[0].ID != id || !got[0].Audio {
		t.Errorf("%+v", got)
	}
}

// FuzzSpoolDocument writes random documents into the spool. A document that the forwarder accepts must be delivered, and so
// must the other documents in the spool. Documents that it does not accept are the subject of the tests above.
func FuzzSpoolDocument(f *testing.F) {
	f.Add([]byte(segmentDocument))
	f.Add([]byte(partDocument))
	for _, c := range strange {
		f.Add([]byte(c[1]))
	}
	shared := newNode(f, options{dir: f.TempDir()})
	calls := 0
	f.Fuzz(func(t *testing.T, document []byte) {
		defer testkit.Bounded(t)()
		understood := map[string]bool{segmentEntry: screen.Understood(segmentEntry, document), partEntry: screen.Understood(partEntry, document)}
		if !understood[segmentEntry] && !understood[partEntry] {
			return
		}
		calls++
		good := shared.part(fmt.Sprintf("good-%d-%d", os.Getpid(), calls), int64(calls))
		dir := t.TempDir()
		for id := range understood {
			lay(t, dir, id, document, nil)
		}
		s, err := spool.Open(dir, spool.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		c := screen.NewForwarder(screen.ForwarderConfig{Spool: s, Audio: shared.audio, Decider: shared.desk})
		good.EndedAt = time.UnixMilli(good.Part + 1000)
		if err := errors.Join(c.Take(good, silence("caller", 0)), c.Progress(good)); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		err = c.Drain(ctx)
		stop()
		<-done
		r, e := shared.desk.Report(context.Background(), good.Call)
		if err != nil || e != nil || r.State != "ended" || len(r.Segments) != 1 {
			t.Errorf("%v %v %+v", err, e, r)
		}
		if list, _, err := shared.desk.Reports(context.Background(), store.Filter{Limit: 3}); err != nil {
			t.Error(err)
		} else if _, err := json.Marshal(list); err != nil {
			t.Error(err)
		}
		for _, e := range s.Entries() {
			if understood[e.ID] {
				t.Errorf("entry %s is still in the spool", e.ID)
			}
		}
	})
}
