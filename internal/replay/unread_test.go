package replay_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/analyzer/simulator"
)

// join writes the concatenated parts to a file and returns its path.
func join(t *testing.T, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "call.wav")
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Known fault: the second part of a recording was not read, and the call was clear.
func TestRecordingsOfSeveralParts(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	human, synthetic := read(audio+"human.wav"), read(audio+"synthetic.wav")
	opus := read("../demo/synthetic.opus")
	pcm := synthetic[44:]
	chunk := append([]byte("JUNK"), binary.LittleEndian.AppendUint32(nil, uint32(len(pcm)))...)
	for name, c := range map[string]struct {
		file     string
		decision string
		warning  string
	}{
		"two WAV files":        {join(t, human, synthetic), "flagged", ""},
		"PCM behind the audio": {join(t, human, pcm), "flagged", ""},
		"Opus behind WAV":      {join(t, human, opus), "flagged", ""},
		"a chunk of audio":     {join(t, human, chunk, pcm), "", " s of the recording was not read: other_chunk"},
	} {
		b := newBench(t, simulator.Script{}, nil)
		r, err := b.screen(b.call("call"), c.file)
		b.finish()
		if err != nil || c.decision != "" && r.Decision != c.decision || !strings.Contains(strings.Join(r.Warnings, "\n"), c.warning) {
			t.Errorf("%s: %s, warnings %q, %v", name, r.Decision, r.Warnings, err)
		}
		if c.decision == "" && r.Decision == "clear" {
			t.Errorf("%s: the call is clear, warnings %q", name, r.Warnings)
		}
	}
}
