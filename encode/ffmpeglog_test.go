package encode

import "testing"

// The statistics of ffmpeg have changed their form.
func TestStatisticsOfAllVersionsAreRead(t *testing.T) {
	const head = "[verbose]   Input stream #0:"
	for line, want := range map[string]streamUse{
		"1 (audio): 73 packets read (29588 bytes); 72 frames decoded (73728 samples); ":            {1, 73, 29588, 72, 73728, true},
		"0 (audio): 9 packets read (90 bytes); 8 frames decoded; 1 decode errors (8192 samples); ": {0, 9, 90, 8, 8192, true},
		"2 (video): 45 packets read (100 bytes); ":                                                 {2, 45, 100, 0, 0, false},
		"0 (audio): 3 packets read (12 bytes); 0 frames decoded (0 samples); ":                     {0, 3, 12, 0, 0, true},
	} {
		l := newBoundedLog()
		if _, err := l.Write([]byte(head + line + "\n")); err != nil {
			t.Fatal(err)
		}
		if len(l.streams) != 1 || l.streams[0] != want {
			t.Errorf("%q: %+v", line, l.streams)
		}
	}
}
