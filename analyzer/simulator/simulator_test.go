package simulator_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/testkit"
)

const audio = "../../testdata/audio/"

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// form returns the body of a submission with these fields, alternating name and content.
func form(t testing.TB, fields ...string) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for i := 0; i < len(fields); i += 2 {
		part, err := w.CreateFormFile(fields[i], "x.wav")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(part, fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

func ask(s *simulator.Server, method, path, token string, body io.Reader, contentType string) (int, map[string]any) {
	r := httptest.NewRequest(method, path, body)
	if token != "" {
		r.Header.Set("ds-api-token", token)
	}
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var answer map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	if w.Header().Get("X-Simulated") != "true" {
		answer = map[string]any{"unmarked": true}
	}
	return w.Code, answer
}

const submit, job = "/api/v4/deepfake/audio/analyze", "/api/v4/deepfake/job/"

func send(t testing.TB, s *simulator.Server, data []byte) map[string]any {
	t.Helper()
	body, kind := form(t, "file", string(data))
	code, a := ask(s, http.MethodPost, submit, "key", body, kind)
	if code != http.StatusOK {
		t.Fatalf("HTTP %d: %v", code, a)
	}
	code, a = ask(s, http.MethodGet, job+fmt.Sprint(a["id"]), "key", nil, "")
	if code != http.StatusOK {
		t.Fatalf("HTTP %d: %v", code, a)
	}
	return a
}

func TestSubmissionsAreChecked(t *testing.T) {
	wav := "RIFF....WAVE" + strings.Repeat("x", 100)
	for _, c := range []struct {
		name, token string
		fields      []string
		kind        string
		status      int
	}{
		{"as the page says", "key", []string{"file", wav}, "", 200},
		{"an MP3", "key", []string{"file", "ID3" + wav}, "", 200},
		{"an M4A", "key", []string{"file", "\x00\x00\x00\x20ftypM4A " + wav}, "", 200},
		{"no token", "", []string{"file", wav}, "", 401},
		{"another token", "yek", []string{"file", wav}, "", 401},
		{"another field", "key", []string{"audio", wav}, "", 400},
		{"two fields", "key", []string{"file", wav, "note", "x"}, "", 400},
		{"two files", "key", []string{"file", wav, "file", wav}, "", 400},
		{"no field", "key", nil, "", 400},
		{"no audio", "key", []string{"file", "%PDF-1.4 and so on"}, "", 415},
		{"nothing in it", "key", []string{"file", ""}, "", 415},
		{"no form", "key", []string{"file", wav}, "application/json", 415},
		{"too large", "key", []string{"file", wav + strings.Repeat("x", 10<<20)}, "", 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := simulator.New(simulator.Script{Token: "key"})
			body, kind := form(t, c.fields...)
			if c.kind != "" {
				kind = c.kind
			}
			code, a := ask(s, http.MethodPost, submit, c.token, body, kind)
			if code != c.status || code != 200 && a["message"] == nil || a["unmarked"] != nil {
				t.Errorf("HTTP %d: %v, want %d", code, a, c.status)
			}
			if got := len(s.Uploads()); (got == 1) != (c.status == 200) {
				t.Errorf("%d uploads", got)
			}
		})
	}
	s := simulator.New(simulator.Script{})
	if code, _ := ask(s, http.MethodGet, job+"nobody", "key", nil, ""); code != 404 {
		t.Errorf("an unknown job: HTTP %d", code)
	}
	if code, _ := ask(s, http.MethodGet, submit, "key", nil, ""); code != 405 {
		t.Errorf("GET of the submission: HTTP %d", code)
	}
}

func TestJobsTakeTheirTime(t *testing.T) {
	now := time.Unix(0, 0)
	s := simulator.New(simulator.Script{Latency: 3 * time.Second}).WithClock(func() time.Time { return now })
	a := send(t, s, read(t, audio+"human.wav"))
	id := job + fmt.Sprint(a["id"])
	if a["status"] != "queued" || a["score"] != nil {
		t.Errorf("at once: %v", a)
	}
	now = now.Add(3 * time.Second)
	_, a = ask(s, http.MethodGet, id, "key", nil, "")
	if a["status"] != "completed" || a["simulated"] != true || a["verdict"] != "deepfake_unlikely" {
		t.Errorf("later: %v", a)
	}
	if u := s.Uploads()[0]; u.Rate != 16000 || u.Channels != 1 || u.Bits != 16 || u.Format != "wav" ||
		u.Duration.Round(time.Millisecond) != 22740*time.Millisecond {
		t.Errorf("%+v", u)
	}
}

// channel returns one channel of a stereo WAV file as a mono file.
func channel(data []byte, c int) []byte {
	out := append([]byte(nil), data[:44]...)
	out[22], out[32] = 1, 2
	for i := 44 + 2*c; i+1 < len(data); i += 4 {
		out = append(out, data[i], data[i+1])
	}
	binary.LittleEndian.PutUint32(out[40:], uint32(len(out)-44))
	return out
}

func TestTheMarker(t *testing.T) {
	both := read(t, audio+"two-legs.wav")
	for name, c := range map[string]struct {
		data   []byte
		marked bool
	}{
		"synthetic": {read(t, audio+"synthetic.wav"), true},
		"caller":    {channel(both, 0), true},
		"human":     {read(t, audio+"human.wav"), false},
		"agent":     {channel(both, 1), false},
		"dtmf":      {read(t, audio+"dtmf.wav"), false},
		"ringback":  {read(t, audio+"ringback.wav"), false},
		"silence":   {read(t, audio+"silence.wav"), false},
	} {
		s := simulator.New(simulator.Script{})
		first, again := send(t, s, c.data), send(t, s, c.data)
		score, _ := first["score"].(float64)
		if u := s.Uploads()[0]; u.Marker != c.marked || (score == 0.93) != c.marked || !c.marked && (score < 0.03 || score > 0.2) {
			t.Errorf("%s: marker %v, score %v", name, u.Marker, score)
		}
		if again["score"] != first["score"] {
			t.Errorf("%s: %v and then %v", name, first["score"], again["score"])
		}
	}
}

// wavOf converts a file to a mono 16-bit WAV with ffmpeg.
func wavOf(t *testing.T, rate string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatal("ffmpeg is not installed")
		}
		t.Skip("ffmpeg is not installed")
	}
	out := filepath.Join(t.TempDir(), "out.wav")
	args = append(append([]string{"-v", "error", "-y"}, args...), "-ac", "1", "-ar", rate, "-c:a", "pcm_s16le", "-bitexact", out)
	if text, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v %s", err, text)
	}
	return read(t, out)
}

// The marker must survive the codecs of a call, otherwise a live demonstration would show nothing.
func TestTheMarkerOutlivesCodecs(t *testing.T) {
	for _, codec := range [][]string{
		{"ogg", "libopus", "-b:a", "24k"},
		{"ogg", "libopus", "-b:a", "12k"},
		{"wav", "pcm_mulaw", "-ar", "8000"},
		{"wav", "pcm_alaw", "-ar", "8000"},
		{"mp3", "libmp3lame", "-b:a", "32k"},
	} {
		for name, marked := range map[string]bool{"synthetic": true, "human": false} {
			wavOf(t, "16000", "-i", audio+name+".wav") // skips where there is no ffmpeg
			coded := filepath.Join(t.TempDir(), "coded."+codec[0])
			args := append([]string{"-v", "error", "-y", "-i", audio + name + ".wav", "-c:a"}, codec[1:]...)
			if text, err := exec.Command("ffmpeg", append(args, coded)...).CombinedOutput(); err != nil {
				t.Fatalf("ffmpeg: %v %s", err, text)
			}
			for _, rate := range []string{"16000", "8000"} {
				s := simulator.New(simulator.Script{})
				send(t, s, wavOf(t, rate, "-i", coded))
				if got := s.Uploads()[0].Marker; got != marked {
					t.Errorf("%s through %v at %s Hz: marker %v", name, codec, rate, got)
				}
			}
		}
	}
}

func TestTheMarkerIsNotFoundInOtherRecordings(t *testing.T) {
	var files []string
	for pattern, every := range map[string]int{"/usr/share/asterisk/sounds/en*/*.g722": 12, "/usr/share/asterisk/moh/*.g722": 1} {
		found, _ := filepath.Glob(pattern)
		if len(found) == 0 {
			if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
				t.Fatalf("%s is not installed", pattern)
			}
			t.Skipf("%s is not installed", pattern)
		}
		for i := 0; i < len(found); i += every {
			files = append(files, found[i])
		}
	}
	for _, file := range files {
		s := simulator.New(simulator.Script{})
		send(t, s, wavOf(t, "16000", "-t", "60", "-f", "g722", "-i", file))
		if s.Uploads()[0].Marker {
			t.Errorf("%s carries the marker", file)
		}
	}
}

func TestRules(t *testing.T) {
	s, err := simulator.ParseScript(strings.NewReader(`
rules:
  - match: {from: 2, to: 2}
    result: {score: 0.2}
  - match: {every: 4}
    result: {score: 0.4}
  - match: {marker: true}
    result: {score: 0.7, verdict: robot}
  - match: {longer: 20s}
    result: {score: 0.6}
  - match: {shorter: 13s}
    result: {score: 0.5}
`))
	if err != nil {
		t.Fatal(err)
	}
	stand := simulator.New(s)
	human, synthetic, silence := read(t, audio+"human.wav"), read(t, audio+"synthetic.wav"), read(t, audio+"silence.wav")
	for i, c := range []struct {
		data []byte
		want float64
	}{{human, 0.6}, {human, 0.2}, {synthetic, 0.7}, {synthetic, 0.4}, {silence, 0.5}} {
		if a := send(t, stand, c.data); a["score"] != c.want {
			t.Errorf("submission %d: %v, want %v", i+1, a, c.want)
		}
	}
	for _, bad := range []string{
		"rulez: []",
		"fail_rate: 2",
		"latency: -1s",
		"rules: [{submit: {status: 99}}]",
		"rules: [{poll: {reset: never}}]",
		"rules: 3",
		"a: [",
		"rules: [{match: {sometimes: 1}}]",
		"outages: [{from: 2s, to: 1s}]",
		"outages: [{from: -1s}]",
		"outages: [{submit: {status: 99}}]",
		"outages: [{poll: {reset: perhaps}}]",
	} {
		if _, err := simulator.ParseScript(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := simulator.ParseScript(strings.NewReader("")); err != nil {
		t.Errorf("an empty script: %v", err)
	}
}

// An outage replaces all answers for its time. Jobs that it accepts are there afterwards.
func TestAnOutage(t *testing.T) {
	script, err := simulator.ParseScript(strings.NewReader(
		"outages: [{from: 10s, to: 20s, submit: {status: 504, accept: true}, poll: {status: 200, body: '<html>'}}]"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	stand := simulator.New(script).WithClock(func() time.Time { return now })
	for _, c := range []struct {
		pass                   time.Duration
		submit, poll, accepted int
	}{{0, 200, 404, 1}, {10 * time.Second, 504, 200, 2}, {9 * time.Second, 504, 200, 3}, {time.Second, 200, 404, 4}} {
		now = now.Add(c.pass)
		body, kind := form(t, "file", "RIFF....WAVE")
		sent, _ := ask(stand, http.MethodPost, submit, "key", body, kind)
		asked, _ := ask(stand, http.MethodGet, job+"x", "key", nil, "")
		if sent != c.submit || asked != c.poll || stand.Stats().Accepted != c.accepted {
			t.Errorf("at %v: submission %d, poll %d, %+v", now, sent, asked, stand.Stats())
		}
	}
}

func FuzzScript(f *testing.F) {
	f.Add("latency: 1s\nrules: [{match: {every: 2}, result: {score: .nan, statuses: [a]}}]")
	f.Add("rules: [{submit: {status: 429, retry_after: \"1\"}}]")
	f.Fuzz(func(t *testing.T, text string) {
		defer testkit.Bounded(t)()
		s, err := simulator.ParseScript(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, r := range s.Rules {
			if r.Submit != nil && (r.Submit.Delay > 0 || r.Submit.Reset != "") || r.Poll != nil && (r.Poll.Delay > 0 || r.Poll.Reset != "") {
				return // takes time, or needs a connection
			}
		}
		for _, r := range s.Rules {
			if r.Submit != nil && r.Submit.Hang || r.Poll != nil && r.Poll.Hang {
				return
			}
		}
		s.Token, s.FailRate, s.Outages = "", 0, nil
		stand := simulator.New(s)
		body, kind := form(t, "file", "RIFF....WAVE")
		code, a := ask(stand, http.MethodPost, submit, "key", body, kind)
		ask(stand, http.MethodGet, job+"x", "key", nil, "")
		if len(s.Rules) == 0 && (code != 200 || a["id"] == nil) {
			t.Errorf("HTTP %d: %v", code, a)
		}
	})
}

func FuzzUpload(f *testing.F) {
	body, kind := form(
		f,
		"file",
		"RIFF....WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\x04\x00\x00\x00abcd",
	)
	f.Add(body.Bytes(), kind)
	lying, lyingKind := form(
		f,
		"file",
		"RIFF....WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3eRR\x00\x7d\x00\x00\x02\x00\x10\x00data\x04\x00\x00\x00abcd",
	)
	f.Add(lying.Bytes(), lyingKind) // 1.4 GHz, of which a frame would take gigabytes
	f.Add([]byte("--x\r\n\r\n"), "multipart/form-data; boundary=x")
	f.Add([]byte{}, "")
	stand := simulator.New(simulator.Script{})
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		defer testkit.Bounded(t)()
		if code, _ := ask(stand, http.MethodPost, submit, "key", bytes.NewReader(body), kind); code >= 500 {
			t.Errorf("HTTP %d", code)
		}
	})
}
