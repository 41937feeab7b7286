package peers_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/internal/report"
)

const (
	gstreamer = "testdata/gstreamer_publish.py"
	synthetic = "../../../testdata/audio/synthetic.wav"
)

// A webrtcbin sends each party of a call. Each packet that GStreamer counts as sent is on the tape.
func TestGStreamer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the calls")
	}
	out, err := exec.CommandContext(t.Context(), debianPython, gstreamer, "check").CombinedOutput()
	need(t, "GStreamer with webrtcbin (gstreamer1.0-plugins-bad, -good, -base, gstreamer1.0-nice, python3-gst-1.0, "+
		"gir1.2-gst-plugins-bad-1.0)", err == nil)
	t.Log(strings.TrimSpace(string(out)))
	t.Parallel()
	addr := sidecar(t.Context(), t, "ingest", "viewer")
	calls := map[string][]string{"opus": {"opus"}, "trickle": {"opus", "trickle"}, "pcmu": {"pcmu"}}
	outputs := map[string]func() map[string][]byte{}
	for call, args := range calls {
		outputs[call] = bothParties(t, func(ctx context.Context, leg, file string) *exec.Cmd {
			args := append([]string{gstreamer, "http://" + addr + "/whip/" + call + "/" + leg, file, "12"}, args...)
			return exec.CommandContext(ctx, debianPython, args...)
		})
	}
	t.Run("each second", func(t *testing.T) { // while the calls go on
		s, _ := record(t, false, 12, func(ctx context.Context, _, url string) *exec.Cmd {
			return exec.CommandContext(ctx, debianPython, gstreamer, url, source, "12", "opus")
		})
		t.Logf("track %v, %+v", s.Codecs(), stats(s))
		if err := s.Ledger().Check(); err != nil {
			t.Error(err)
		}
	})
	for call := range calls {
		t.Run(call, func(t *testing.T) {
			sent := outputs[call]()
			for _, leg := range screenedCompletely(t, addr, call).Legs {
				var said struct{ Status, Packets int64 }
				if err := json.Unmarshal(sent[leg.Leg], &said); err != nil || said.Status != 200 {
					t.Errorf("%s: the peer printed %q: %v", leg.Leg, sent[leg.Leg], err)
				}
				if said.Packets < 600 || said.Packets != leg.Ledger.Packets.Recorded {
					t.Errorf("%s: GStreamer has sent %d packets: %+v", leg.Leg, said.Packets, leg.Ledger.Packets)
				}
			}
		})
	}
}

// FFmpeg 8 has a muxer for WHIP. That of Debian 12 is older.
func TestFFmpeg(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	ffmpeg := os.Getenv("FFMPEG")
	if ffmpeg == "" {
		ffmpeg = "ffmpeg"
	}
	muxers, err := exec.CommandContext(t.Context(), ffmpeg, "-hide_banner", "-muxers").Output()
	if err != nil || !strings.Contains(string(muxers), " whip ") {
		t.Skipf("%s has no WHIP muxer, which FFmpeg has from version 8 (hint: FFMPEG=PATH)", ffmpeg)
	}
	t.Parallel()
	addr := sidecar(t.Context(), t, "ingest", "viewer")
	outputs := bothParties(t, func(ctx context.Context, leg, file string) *exec.Cmd {
		return exec.CommandContext(ctx, ffmpeg, "-hide_banner", "-loglevel", "warning", "-re", "-t", "12", "-i", file,
			"-c:a", "libopus", "-ac", "2", "-ar", "48000", "-f", "whip", "-authorization", bearer,
			"http://"+addr+"/whip/ffmpeg/"+leg)
	})
	for leg, out := range outputs() {
		t.Logf("%s: %s", leg, out)
	}
	screenedCompletely(t, addr, "ffmpeg")
}

// bothParties starts a peer for each party, with a synthetic and a human voice. The result waits for their outputs, by leg.
func bothParties(t *testing.T, peer func(ctx context.Context, leg, file string) *exec.Cmd) (outputs func() map[string][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	var mu sync.Mutex
	var peers sync.WaitGroup
	sent := map[string][]byte{}
	for leg, name := range map[string]string{"caller": synthetic, "agent": source} {
		cmd := peer(ctx, leg, name)
		cmd.Env = append(os.Environ(), "WHIP_TOKEN="+bearer)
		peers.Go(func() {
			var problem strings.Builder
			cmd.Stderr = &problem
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%s: %v: %s", leg, err, problem.String())
			}
			mu.Lock()
			defer mu.Unlock()
			sent[leg] = out
		})
	}
	wait := func() map[string][]byte {
		peers.Wait()
		cancel()
		return sent
	}
	t.Cleanup(func() { wait() })
	return wait
}

// screenedCompletely checks a call of bothParties: its decisions, its 12 seconds, and ledgers that close without a loss.
func screenedCompletely(t *testing.T, addr, call string) screened {
	t.Helper()
	s := decided(t.Context(), t, addr, call)
	s.verdicts(t, map[string]string{"caller": "flagged", "agent": "clear"}, 12)
	if s.Decision != "flagged" {
		t.Errorf("the call is %s", s.Decision)
	}
	for _, leg := range s.Legs {
		if leg.Ledger == nil || leg.Ledger.Packets == nil {
			t.Fatalf("%s has no ledger", leg.Leg)
		}
		p := *leg.Ledger.Packets
		t.Logf("%s: %s, %.2f s, %+v", leg.Leg, leg.Decision, leg.Seconds, p)
		whole := report.Packets{Sent: p.Sent, Recorded: p.Sent}
		if p.Sent == 0 || !reflect.DeepEqual(p, whole) || len(leg.Ledger.Spans) > 0 {
			t.Errorf("%s: %+v %+v", leg.Leg, p, leg.Ledger.Spans)
		}
	}
	return s
}
