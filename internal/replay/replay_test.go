package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/encode"
	"callscreen/internal/replay"
	"callscreen/internal/report"
	"callscreen/policy"
)

const audio = "../../testdata/audio/"

// bench is a pipeline with a simulated API.
type bench struct {
	t        testing.TB
	stand    *simulator.Server
	screener *replay.Screener
	replay   replay.Replay
	dir      string
	running  sync.WaitGroup
	finish   func()
}

func newBench(t testing.TB, script simulator.Script, change func(*replay.ScreenerConfig, *replay.Replay)) *bench {
	t.Helper()
	b := &bench{t: t, stand: simulator.New(script), dir: t.TempDir()}
	server := httptest.NewServer(b.stand)
	client, err := analyzer.New("key", &analyzer.Options{
		BaseURL: server.URL, PollInitial: 2 * time.Millisecond, PollMax: 10 * time.Millisecond, Deadline: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := replay.ScreenerConfig{Analyzer: client, Dir: b.dir, MaxInFlight: 8, RetryCleaned: true}
	b.replay = replay.Replay{
		Legs: []string{"caller", "agent"}, Segment: capture.SegmenterConfig{Rate: 16000},
		NewVAD: func() (capture.VAD, error) { return vad.New(16000, nil) },
	}
	if change != nil {
		change(&cfg, &b.replay)
	}
	if b.screener, err = replay.NewScreener(cfg); err != nil {
		t.Fatal(err)
	}
	b.replay.Intake = b.screener
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	b.running.Go(func() { _ = b.screener.Run(ctx) })
	b.finish = sync.OnceFunc(func() {
		b.screener.Done()
		b.running.Wait()
		cancel()
		client.CloseIdleConnections()
		server.Close()
		if err := b.screener.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.finish)
	return b
}

func (b *bench) call(id string) *replay.Call {
	return replay.NewCall(replay.CallConfig{ID: id, Policy: policy.Default()})
}

// screen replays a file and waits until it is decided.
func (b *bench) screen(call *replay.Call, file string) (report.Report, error) {
	b.t.Helper()
	err := b.replay.File(b.t.Context(), call, file)
	select {
	case <-call.Settled():
	case <-time.After(time.Minute):
		b.t.Fatal("the call is not settled after a minute")
	}
	return call.Report(), err
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each uploaded file equals, sample by sample, the recording at the offset that the report states.
func TestUploadsAreTheirPlaceInTheRecording(t *testing.T) {
	b := newBench(t, simulator.Script{}, func(c *replay.ScreenerConfig, _ *replay.Replay) { c.Keep = true })
	r, err := b.screen(b.call("a call/with: odd name"), audio+"two-legs.wav")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(audio + "two-legs.wav")
	if err != nil {
		t.Fatal(err)
	}
	channel := map[string]int{"caller": 0, "agent": 1}
	scored := 0
	for _, s := range r.Segments {
		if s.State != report.StateScored {
			continue
		}
		scored++
		got, err := os.ReadFile(s.WAV)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) >= encode.MaxBytes {
			t.Errorf("%s has %d bytes", s.WAV, len(got))
		}
		first, n := int(time.Duration(s.Offset)*16/time.Millisecond), int(time.Duration(s.Duration)*16/time.Millisecond)
		var want []byte
		for i := first; i < first+n; i++ {
			at := 44 + 4*i + 2*channel[s.Leg]
			want = append(want, data[at:at+2]...)
		}
		if !bytes.Equal(got[44:], want) {
			t.Errorf("%s differs from the recording of leg %s at %v", s.WAV, s.Leg, time.Duration(s.Offset))
		}
	}
	if scored < 4 {
		t.Errorf("only %d segments", scored)
	}
	for _, u := range b.stand.Uploads() {
		if u.Format != "wav" || u.Rate != 16000 || u.Channels != 1 || u.Bits != 16 || u.Size >= encode.MaxBytes {
			t.Errorf("uploaded: %+v", u)
		}
	}
	if !r.Simulated {
		t.Error("the report does not state that the scores are simulated")
	}
	if r.Decision != "flagged" || r.Analysed != r.Speech {
		t.Errorf("%+v", r)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*")); len(left) != scored {
		t.Errorf("%d files are kept, %d segments were scored", len(left), scored)
	}
}

// The names of calls and legs that are the same in a file name do not share a file: each segment is uploaded as it was cut,
// and nothing that is kept is replaced, also not by a second run.
func TestNamesThatLookAlikeDoNotShareAFile(t *testing.T) {
	long := strings.Repeat("x", 100)
	names := []string{"call 1", "call+1", "call_1", "通話", "電話", long + "1", long + "2", "call 1"}
	dir := t.TempDir()
	for range 2 {
		b := newBench(t, simulator.Script{}, func(c *replay.ScreenerConfig, _ *replay.Replay) { c.Keep, c.Dir = true, dir })
		kept := map[string]string{}
		for i, name := range names {
			file, want := "human.wav", "clear"
			if i%2 == 1 {
				file, want = "synthetic.wav", "flagged"
			}
			r, err := b.screen(b.call(name), audio+file)
			if err != nil || r.Decision != want {
				t.Errorf("%s is %s, want %s: %v", name, r.Decision, want, err)
			}
			for _, s := range r.Segments {
				if s.WAV != "" && kept[s.WAV] != "" {
					t.Errorf("%s of %q is that of %q too", s.WAV, name, kept[s.WAV])
				}
				kept[s.WAV] = name
			}
		}
		b.finish()
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) < 4*len(names) {
		t.Errorf("only %d files are kept", len(left))
	}
}

// WAV files are deleted after their analysis unless Keep is set.
func TestSegmentsAreNotKeptUnlessAsked(t *testing.T) {
	b := newBench(t, simulator.Script{}, nil)
	if _, err := b.screen(b.call("x"), audio+"human.wav"); err != nil {
		t.Fatal(err)
	}
	b.finish()
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*")); len(left) != 0 {
		t.Errorf("files were not deleted: %v", left)
	}
}

// The same speech is found in each container and codec of the fixtures.
func TestEveryFormatIsScreened(t *testing.T) {
	files, err := filepath.Glob(audio + "formats/*.*")
	if err != nil {
		t.Fatal(err)
	}
	screened := 0
	for _, file := range files {
		switch filepath.Ext(file) {
		case ".g722", ".s16le":
			continue // raw samples, without a header to detect the format
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			b := newBench(t, simulator.Script{}, func(_ *replay.ScreenerConfig, r *replay.Replay) {
				r.Channels, _ = replay.ParseChannels("0")
				r.Segment.MinSpeech = time.Second // the clips are three seconds long
				r.Segment.FirstSpeech = time.Second
			})
			r, err := b.screen(b.call("x"), file)
			if errors.Is(err, encode.ErrNoFFmpeg) && os.Getenv("CALLSCREEN_REQUIRE_PEERS") != "1" {
				t.Skip("ffmpeg is not installed")
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := time.Duration(r.Duration).Seconds(); math.Abs(d-2.99) > 0.1 {
				t.Errorf("duration is %.3f s", d)
			}
			if sp := time.Duration(r.Speech).Seconds(); sp < 1.5 || sp > 2.9 {
				t.Errorf("%.3f s of speech", sp)
			}
			screened++
		})
	}
	if screened < 12 {
		t.Errorf("only %d formats", screened)
	}
}

// If a job fails and the audio may be the reason, the segment is submitted once more, reduced to its speech.
func TestFailedJobsAreTriedOnceMoreCleaned(t *testing.T) {
	for _, times := range []int{1, 0} { // 0: always fails
		b := newBench(
			t,
			simulator.Script{Rules: []simulator.Rule{{Result: simulator.Result{Failed: true, ErrorCode: "RuntimeError", FailedTimes: times}}}},
			func(c *replay.ScreenerConfig, _ *replay.Replay) { c.MaxInFlight = 1 },
		)
		r, err := b.screen(b.call("x"), audio+"human.wav")
		if err != nil {
			t.Fatal(err)
		}
		u, s := b.stand.Uploads(), r.Segments
		if times == 1 {
			if len(u) != len(s)+1 || !s[0].Cleaned || s[0].State != report.StateScored || r.Decision != "clear" {
				t.Fatalf("%d uploads, %+v", len(u), r)
			}
			if u[1].Duration >= u[0].Duration || u[1].Duration < time.Duration(s[0].Speech) || u[1].SHA256 == u[0].SHA256 {
				t.Errorf("the cleaned copy lasts %v, the segment %v with %v of speech", u[1].Duration, u[0].Duration, time.Duration(s[0].Speech))
			}
			continue
		}
		if len(u) != 2*len(s) || s[0].State != report.StateFailed || s[0].Reason != "job_failed" || r.Decision != "inconclusive" {
			t.Errorf("%d uploads for %d segments, %+v", len(u), len(s), r)
		}
	}
	b := newBench(t, simulator.Script{Rules: []simulator.Rule{{Result: simulator.Result{Failed: true}}}},
		func(c *replay.ScreenerConfig, _ *replay.Replay) { c.RetryCleaned = false })
	if r, _ := b.screen(b.call("x"), audio+"human.wav"); len(b.stand.Uploads()) != len(r.Segments) {
		t.Errorf("%d uploads for %d segments with RetryCleaned off", len(b.stand.Uploads()), len(r.Segments))
	}
}

// An API, or a cache in front of it, that gives one job to different recordings says about one of them at most what its score is.
func TestAJobOfTwoRecordingsScoresOneAtMost(t *testing.T) {
	same := &simulator.Answer{Body: `{"id":"same","status":"completed","score":0.01}`}
	b := newBench(t, simulator.Script{Rules: []simulator.Rule{{Submit: same}}}, nil)
	for i := range 2 {
		r, err := b.screen(b.call(fmt.Sprint(i)), audio+"human.wav")
		scored := 0
		for _, s := range r.Segments {
			if s.State == report.StateScored {
				scored++
			}
		}
		if err != nil || len(r.Segments) < 2 || r.Decision != "inconclusive" || scored > 1-i || !slices.Contains(r.Reasons, "in_doubt") {
			t.Errorf("%d scored, %s for %v: %v", scored, r.Decision, r.Reasons, err)
		}
	}
}

// Each of 100 recordings gets a decision from an API that fails three of ten requests. A decision may be inconclusive for one
// reason only: the response to the upload was lost twice. The recording is not sent a third time.
func TestEveryRecordingIsDecidedThoughTheAPIFails(t *testing.T) {
	source, err := os.ReadFile(audio + "human.wav")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, simulator.Script{FailRate: 0.3, Seed: 1}, nil)
	dir, clear := t.TempDir(), 0
	for i := range 100 {
		from := 44 + 2*(6400+100*i)
		file := filepath.Join(dir, fmt.Sprintf("%03d.wav", i))
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		pcm := make([]int16, 8*16000)
		for j := range pcm {
			pcm[j] = int16(uint16(source[from+2*j]) | uint16(source[from+2*j+1])<<8)
		}
		if err := errors.Join(encode.WriteWAV(f, 16000, pcm), f.Close()); err != nil {
			t.Fatal(err)
		}
		r, err := b.screen(b.call(file), file)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Decision == "clear":
			clear++
		case r.Decision != "inconclusive" || !slices.Equal(r.Reasons, []string{"in_doubt"}):
			t.Errorf("%s: %s %v %+v", file, r.Decision, r.Reasons, r.Segments)
		}
	}
	if clear < 90 {
		t.Errorf("only %d calls are clear", clear)
	}
	if s := b.stand.Stats(); s.Failures < 50 {
		t.Errorf("only %d requests failed", s.Failures)
	}
}

// Hold music is not submitted.
func TestHoldMusicIsNotSubmitted(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of audio")
	}
	files, _ := filepath.Glob("/usr/share/asterisk/moh/*.wav")
	if len(files) == 0 {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatal("asterisk-moh-opsound-wav is not installed")
		}
		t.Skip("asterisk-moh-opsound-wav is not installed")
	}
	for _, file := range files {
		b := newBench(t, simulator.Script{}, nil)
		r, err := b.screen(b.call("hold"), file)
		if err != nil {
			t.Fatal(err)
		}
		if r.Decision != "inconclusive" || !slices.Equal(r.Reasons, []string{"too_little_speech"}) {
			t.Errorf("%s: %s %v", file, r.Decision, r.Reasons)
		}
		if n := b.stand.Stats().Submits; n != 0 {
			t.Errorf("%s: %d submissions", file, n)
		}
	}
}

// The report of an interrupted replay holds all results known so far.
func TestStoppedInTheMiddle(t *testing.T) {
	b := newBench(t, simulator.Script{Latency: time.Hour}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	call := b.call("x")
	b.replay.OnProgress = func(at time.Duration) {
		if at > 15*time.Second {
			cancel()
		}
	}
	if err := b.replay.File(ctx, call, audio+"human.wav"); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	r := call.Report()
	if r.Decision != "inconclusive" || len(r.Segments) == 0 || !slices.Contains(r.Reasons, policy.ReasonPending) {
		t.Errorf("%+v", r)
	}
	for _, s := range r.Segments {
		if s.State != report.StateRecorded && s.State != report.StateSubmitted {
			t.Errorf("segment %d has the state %s", s.Seq, s.State)
		}
	}
}

// The JSON of the report has the field names that other programs rely on.
func TestReportJSON(t *testing.T) {
	b := newBench(t, simulator.Script{}, nil)
	r, err := b.screen(b.call("x"), audio+"human.wav")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"call",
		"decision",
		"score",
		"threshold",
		"reasons",
		"speech_seconds",
		"analysed_seconds",
		"lost_seconds",
		"segments",
	} {
		if _, ok := m[key]; !ok {
			t.Errorf("the report has no field %s", key)
		}
	}
	for _, key := range []string{
		"leg",
		"seq",
		"offset_seconds",
		"duration_seconds",
		"speech_seconds",
		"state",
		"score",
		"verdict",
		"job_id",
		"reason",
	} {
		if _, ok := m["segments"].([]any)[0].(map[string]any)[key]; !ok {
			t.Errorf("a segment has no field %s", key)
		}
	}
	var again report.Report
	if err := json.Unmarshal(data, &again); err != nil || again.Speech != r.Speech.Round() {
		t.Errorf("read back: %v, %v of speech instead of %v", err, again.Speech, r.Speech)
	}
	// The report of an empty call has empty lists, not null.
	data, _ = json.Marshal(b.call("y").Report())
	if !bytes.Contains(data, []byte(`"segments":[]`)) || !bytes.Contains(data, []byte(`"score":null`)) {
		t.Errorf("%s", data)
	}
}
