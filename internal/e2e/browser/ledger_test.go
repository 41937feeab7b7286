package browser_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callscreen/encode"
	"callscreen/internal/audio"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/policy"
)

func seconds(n float64) report.Seconds { return report.Seconds(n * float64(time.Second)) }

// fillLedger adds the call "ledger" to a database: a packed segment with audio, and a gap of each kind.
func fillLedger(t *testing.T, dir string) {
	t.Helper()
	data := filepath.Join(dir, "data")
	db, err := store.Open(t.Context(), store.Options{Dir: data, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := audio.NewFolder(filepath.Join(data, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(recordLedger(t, db, folder), folder.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func recordLedger(t *testing.T, db *store.Store, folder *audio.Folder) error {
	ctx := t.Context()
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	decider := screen.NewDecider(screen.DeciderConfig{Store: db, Policy: policy.Default(), PolicyVersion: 1})
	p := store.Part{
		PartKey:  store.PartKey{Call: "ledger", Part: start.UnixMilli(), Node: "n"},
		Metadata: map[string]string{"queue": "payments"},
		Warnings: []string{"leg agent was stopped by pbx"},
	}
	g, err := packedSegment(t, p, folder)
	if err != nil {
		return err
	}
	if err := decider.Recorded(ctx, p, g); err != nil {
		return err
	}
	score := 0.93
	if err := decider.Settle(ctx, g, store.Settlement{State: store.SegmentScored, Score: &score, At: time.Now()}, nil); err != nil {
		return err
	}
	p.EndedAt = start.Add(time.Minute)
	p.Legs = []store.LegProgress{callerOf(p.PartKey), agentOf(p.PartKey)}
	return decider.Progress(ctx, p)
}

// packedSegment is a tone of 6 s in three places of the call: 4 to 6 s, 15 to 18 s and 40 to 41 s.
func packedSegment(t *testing.T, p store.Part, folder *audio.Folder) (store.SegmentRow, error) {
	t.Helper()
	const rate = 16000
	pcm := make([]int16, 6*rate)
	for i := range pcm {
		pcm[i] = int16(12000 * math.Sin(2*math.Pi*440*float64(i)/rate))
	}
	file := filepath.Join(t.TempDir(), "packed.wav")
	f, err := os.Create(file)
	if err != nil {
		return store.SegmentRow{}, err
	}
	if err := errors.Join(encode.WriteWAV(f, rate, pcm), f.Close()); err != nil {
		return store.SegmentRow{}, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return store.SegmentRow{}, err
	}
	const key = "ab/packed.wav"
	return store.SegmentRow{
		ID:          "packed",
		PartKey:     p.PartKey,
		Leg:         "caller",
		Offset:      4 * time.Second,
		Duration:    6 * time.Second,
		Speech:      6 * time.Second,
		RecordedAt:  time.UnixMilli(p.Part),
		Rate:        rate,
		Voiced:      [][2]int64{{0, 6 * rate}},
		State:       store.SegmentRecorded,
		AudioKey:    key,
		AudioSHA256: fmt.Sprintf("%x", sha256.Sum256(data)),
		AudioBytes:  int64(len(data)),
		Pieces: []report.Piece{
			{Offset: seconds(4), Duration: seconds(2)},
			{At: seconds(2), Offset: seconds(15), Duration: seconds(3)},
			{At: seconds(5), Offset: seconds(40), Duration: seconds(1)},
		},
	}, folder.Put(t.Context(), key, file)
}

func callerOf(k store.PartKey) store.LegProgress {
	return store.LegProgress{
		PartKey:  k,
		Leg:      "caller",
		Duration: time.Minute,
		Lost:     3 * time.Second,
		Ledger: &report.Ledger{
			Recorded:    seconds(40),
			Paused:      seconds(8),
			Unrecorded:  map[string]report.Seconds{"disk": seconds(2), "leg_busy": seconds(0.4)},
			Interrupted: true,
			Packets: &report.Packets{
				Sent:       2670,
				Recorded:   2000,
				Lost:       150,
				Paused:     400,
				Unrecorded: map[string]int64{"disk": 100, "leg_busy": 20},
			},
			Spans: []report.Span{
				{Start: seconds(8), End: seconds(11), Reason: "lost"},
				{Start: seconds(20), End: seconds(28), Reason: "paused"},
				{Start: seconds(30), End: seconds(32), Reason: "disk"},
				{Start: seconds(45), End: seconds(52), Reason: "absent"},
			},
			Pauses: []report.Pause{{
				By:        "anna",
				ResumedBy: "bob",
				From:      seconds(20),
				To:        seconds(28),
				At:        time.UnixMilli(k.Part),
			}},
		},
	}
}

// agentOf is a leg with unread audio, as a recording has it.
func agentOf(k store.PartKey) store.LegProgress {
	return store.LegProgress{
		PartKey:  k,
		Leg:      "agent",
		Duration: 50 * time.Second,
		Ledger: &report.Ledger{
			Recorded: seconds(50),
			Unread:   map[string]report.Seconds{"behind_stated_size": seconds(15)},
			Bytes:    &report.Bytes{Size: 2080044, Read: 1600044, Unread: map[string]int64{"behind_stated_size": 480000}},
		},
	}
}
