package review_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/internal/store"
)

func TestWaveform(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	_, v, _ := o.do("GET", "/api/v1/calls/c1/waveform?points=300", "vera", "")
	if v["duration_seconds"] != 30.0 || v["complete"] != true || len(v["legs"].([]any)) != 2 {
		t.Fatalf("%v", v)
	}
	caller := v["legs"].([]any)[1].(map[string]any)
	peaks := caller["peaks"].([]any)
	if caller["leg"] != "caller" || len(peaks) != 300 {
		t.Fatalf("%v, %d peaks", caller["leg"], len(peaks))
	}
	// Ten points per second: speech from 2 to 10 s and from 12 to 18 s at half of full scale, silence elsewhere.
	for i, p := range peaks {
		at := float64(i) / 10
		inside := at >= 2 && at < 10 || at >= 12 && at < 18
		if v := p.(float64); inside && (v < 120 || v > 130) || !inside && v != -1 {
			t.Errorf("at %.1f s: %v", at, v)
		}
	}
	// With more points than peaks, a peak covers its whole time.
	_, v, _ = o.do("GET", "/api/v1/calls/c1/waveform?points=4000", "vera", "")
	for i, p := range v["legs"].([]any)[1].(map[string]any)["peaks"].([]any) {
		at := float64(i) * 30 / 4000
		if inside := at >= 2 && at < 9.98 || at >= 12.01 && at < 17.98; inside && p.(float64) < 100 {
			t.Errorf("at %.3f s: %v", at, p)
		}
	}
	for _, bad := range []string{"9", "4001", "x"} {
		if resp, _, _ := o.do("GET", "/api/v1/calls/c1/waveform?points="+bad, "vera", ""); resp.StatusCode != 400 {
			t.Errorf("%s points: HTTP %d", bad, resp.StatusCode)
		}
	}
	if resp, _, _ := o.do("GET", "/api/v1/calls/none/waveform", "vera", ""); resp.StatusCode != 404 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
}

// Cached peaks are not read again, because the audio may be deleted meanwhile.
func TestWaveformIsKept(t *testing.T) {
	o := newOffice(t, nil)
	g := o.say("c1", "caller", 0, 0, 5*time.Second, 0.9)
	o.hangUp("c1", 10*time.Second, "caller")
	first := func() float64 {
		_, v, _ := o.do("GET", "/api/v1/calls/c1/waveform", "vera", "")
		return v["legs"].([]any)[0].(map[string]any)["peaks"].([]any)[100].(float64)
	}
	before := first()
	if err := o.audio.Delete(t.Context(), g.AudioKey); err != nil {
		t.Fatal(err)
	}
	if after := first(); before <= 0 || after != before {
		t.Errorf("%v, then %v", before, after)
	}
	// Audio that is deleted before its first read has no peaks.
	g = o.say("c2", "caller", 0, 0, 5*time.Second, 0.9)
	o.hangUp("c2", 10*time.Second, "caller")
	if err := o.audio.Delete(t.Context(), g.AudioKey); err != nil {
		t.Fatal(err)
	}
	if _, v, body := o.do("GET", "/api/v1/calls/c2/waveform", "vera", ""); v["complete"] != true {
		t.Error(body)
	}
}

// Each listener of a segment is in the audit, once for the several requests of a player.
func TestListeningIsAudited(t *testing.T) {
	o := newOffice(t, nil)
	g := o.say("c1", "caller", 0, 0, 5*time.Second, 0.9)
	o.hangUp("c1", 20*time.Second, "caller")
	for _, who := range []string{"anna", "anna", "anna"} {
		if resp, _, _ := o.do("GET", "/api/v1/segments/"+g.ID+"/audio", who, "", "Range", "bytes=100-200"); resp.StatusCode != 206 {
			t.Fatalf("HTTP %d", resp.StatusCode)
		}
	}
	lines, err := o.store.AuditOf(t.Context(), "c1")
	o.must(err)
	var heard []string
	for _, l := range lines {
		if l.What == store.AuditListened {
			heard = append(heard, l.Actor+" "+l.Segment)
		}
	}
	if len(heard) != 1 || heard[0] != "reviewer "+g.ID {
		t.Errorf("%q", heard)
	}
	if _, _, page := o.do("GET", "/calls/c1", "anna", ""); !strings.Contains(page, "listened to a segment") {
		t.Error("the history of the page does not show it")
	}
}

// Stored audio that was exchanged is neither played nor drawn, and each attempt is counted and logged.
func TestExchangedAudioIsNotPlayed(t *testing.T) {
	o := newOffice(t, nil)
	g := o.say("c1", "caller", 0, 0, 5*time.Second, 0.9)
	other := o.say("c1", "caller", 1, 10*time.Second, 5*time.Second, 0.1)
	o.hangUp("c1", 20*time.Second, "caller")
	resp, _, body := o.do("GET", "/api/v1/segments/"+g.ID+"/audio", "anna", "")
	if resp.StatusCode != 200 || int64(len(body)) != g.AudioBytes {
		t.Fatalf("HTTP %d", resp.StatusCode)
	}
	_, _, body = o.do("GET", "/api/v1/segments/"+other.ID+"/audio", "anna", "")
	file := filepath.Join(t.TempDir(), "other.wav")
	o.must(os.WriteFile(file, []byte(body), 0o600))
	o.must(o.audio.Delete(t.Context(), g.AudioKey))
	o.must(o.audio.Put(t.Context(), g.AudioKey, file))
	var v map[string]any
	resp, v, body = o.do("GET", "/api/v1/segments/"+g.ID+"/audio", "anna", "", "Range", "bytes=0-9")
	if resp.StatusCode != 409 || strings.Contains(body, "RIFF") || !strings.Contains(v["detail"].(string), "exchanged") {
		t.Errorf("HTTP %d: %s", resp.StatusCode, body)
	}
	_, v, _ = o.do("GET", "/api/v1/calls/c1/waveform?points=200", "vera", "")
	peaks := v["legs"].([]any)[0].(map[string]any)["peaks"].([]any)
	if peaks[20].(float64) != -1 || peaks[120].(float64) <= 0 {
		t.Errorf("%v and %v", peaks[20], peaks[120])
	}
	if n := o.server.Refused(); n != 2 {
		t.Errorf("%d were counted", n)
	}
}
