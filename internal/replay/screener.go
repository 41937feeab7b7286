package replay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/time/rate"

	"callscreen/analyzer"
	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/clip"
	"callscreen/internal/report"
)

// Analyzer is the part of the analysis API that a Screener uses. *analyzer.Client implements it.
type Analyzer interface {
	// Analyze submits a clip and waits for its score. onJob is called as soon as the job has an id.
	Analyze(ctx context.Context, audio analyzer.Audio, onJob func(id string)) (analyzer.Result, error)
}

// ScreenerConfig configures a Screener. The zero value of a field is valid unless its comment requires a value.
type ScreenerConfig struct {
	Analyzer     Analyzer                          // must be set
	Dir          string                            // folder of the WAV files, must exist
	Keep         bool                              // leave the WAV files there
	Rate         int                               // of the WAV files in Hz; 0 means as recorded
	MaxInFlight  int                               // segments that are with the API at a time; 0 means 1
	Limit        *rate.Limiter                     // of submissions; nil means none
	RetryCleaned bool                              // if a job failed and the audio may be the reason: submit cleaned audio once
	OnSettled    func(*Call, report.SegmentReport) // called when a segment has its score or has failed, from several goroutines
	Log          *slog.Logger                      // nil means none
}

// Screener writes segments as WAV files and has them analysed.
type Screener struct {
	cfg   ScreenerConfig
	root  *os.Root
	queue chan written
	once  sync.Once
	jobs  jobs
}

// written is a segment whose WAV file is written.
type written struct {
	segment *PendingSegment
	file    string
	audio   capture.Segment // without its PCM, which would be kept in memory for as long as the API is behind
}

// NewScreener returns a Screener. Segments are analysed while Run is running. Close must be called in the end.
func NewScreener(cfg ScreenerConfig) (*Screener, error) {
	cfg.MaxInFlight = max(cfg.MaxInFlight, 1)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the segments: %w", err)
	}
	return &Screener{cfg: cfg, root: root, queue: make(chan written, 4*cfg.MaxInFlight)}, nil
}

// Take writes a segment as a WAV file and queues it for analysis. It blocks while the queue is full.
func (s *Screener) Take(ctx context.Context, seg *PendingSegment, audio capture.Segment) error {
	audio, err := clip.Resample(audio, s.cfg.Rate)
	if err != nil {
		s.fail(seg, report.ReasonStorage, err)
		return err
	}
	name, err := s.write(fmt.Sprintf("%s-%s-%03d", fileName(seg.call.ID()), fileName(seg.report.Leg), audio.Seq), audio.Rate, audio.PCM)
	if err != nil {
		err = fmt.Errorf("keep segment %d of leg %s of call %s: %w", audio.Seq, seg.report.Leg, seg.call.ID(), err)
		s.fail(seg, report.ReasonStorage, err)
		return err
	}
	if s.cfg.Keep {
		seg.update(func(r *report.SegmentReport) { r.WAV = filepath.Join(s.cfg.Dir, name) })
	}
	audio.PCM = nil
	select {
	case s.queue <- written{segment: seg, file: name, audio: audio}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// write writes a WAV file. A file that exists is never replaced: it is the evidence of another segment, or of an earlier run.
func (s *Screener) write(base string, rate int, pcm []int16) (name string, err error) {
	name = base + ".wav"
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	for n := 2; errors.Is(err, fs.ErrExist) && n <= maxSameName; n++ {
		name = fmt.Sprintf("%s-%d.wav", base, n)
		f, err = s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return name, encode.WriteWAV(f, rate, pcm)
}

// maxSameName bounds the files of one name.
const maxSameName = 10_000

// Done ends the queue: Take must not be called after it. Run returns once all queued segments are settled.
func (s *Screener) Done() { s.once.Do(func() { close(s.queue) }) }

// Close closes the folder. It must be called after Run has returned.
func (s *Screener) Close() error { return s.root.Close() }

// Run analyses segments until Done was called and none is left, or until the context ends, which leaves the rest as
// they are.
func (s *Screener) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range s.cfg.MaxInFlight {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case c, ok := <-s.queue:
					if !ok {
						return
					}
					s.screen(ctx, c)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// screen has one clip analysed, and once more in a cleaned copy if that may help.
func (s *Screener) screen(ctx context.Context, c written) {
	result, err := s.analyze(ctx, c.segment, c.file)
	cleaned := false
	if s.cfg.RetryCleaned && clip.MayHelp(err) && ctx.Err() == nil {
		if name, cleanErr := s.clean(c); cleanErr != nil {
			s.cfg.Log.Warn("a cleaner copy could not be made", "call", c.segment.call.ID(), "segment", c.file, "error", cleanErr)
		} else {
			cleaned = true
			again, againErr := s.analyze(ctx, c.segment, name)
			if againErr != nil {
				err = fmt.Errorf("%w; again with cleaner audio: %w", err, againErr)
			} else {
				result, err = again, nil
			}
			s.discard(name)
		}
	}
	if ctx.Err() != nil && err != nil {
		return // not failed: stopped, and shown as it stands
	}
	if err != nil {
		s.fail(c.segment, analyzer.Reason(err), err)
	} else {
		if result.Simulated {
			c.segment.call.simulate()
		}
		c.segment.update(func(r *report.SegmentReport) {
			score := result.Score
			r.State, r.Score, r.Verdict, r.JobID, r.Cleaned = report.StateScored, &score, result.Verdict, result.JobID, cleaned
		})
		s.settled(c.segment)
	}
	s.discard(c.file)
}

func (s *Screener) analyze(ctx context.Context, seg *PendingSegment, file string) (analyzer.Result, error) {
	if s.cfg.Limit != nil {
		if err := s.cfg.Limit.Wait(ctx); err != nil {
			return analyzer.Result{}, err
		}
	}
	audio := analyzer.Audio{Open: func() (io.ReadCloser, error) { return s.root.Open(file) }}
	sum := sha256.New()
	f, err := s.root.Open(file)
	if err != nil {
		return analyzer.Result{}, err
	}
	audio.Size, err = io.Copy(sum, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return analyzer.Result{}, err
	}
	result, err := s.cfg.Analyzer.Analyze(ctx, audio, func(id string) {
		s.jobs.given(id, [sha256.Size]byte(sum.Sum(nil)))
		seg.update(func(r *report.SegmentReport) { r.State, r.JobID = report.StateSubmitted, id })
	})
	if err == nil && s.jobs.shared(result.JobID) {
		return result, &analyzer.Error{
			Op:    "submit",
			Kind:  analyzer.KindInDoubt,
			JobID: result.JobID,
			Err:   errors.New("the API gave this job to another recording too, so its result may be that of either"),
		}
	}
	return result, err
}

// jobs are the jobs that the API gave to recordings. An API may give one job to equal recordings.
type jobs struct {
	mu  sync.Mutex
	of  map[string][sha256.Size]byte // hash of the recording
	two map[string]bool              // given to different recordings
}

// given notes that a recording has a job.
func (j *jobs) given(id string, to [sha256.Size]byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.of == nil {
		j.of, j.two = map[string][sha256.Size]byte{}, map[string]bool{}
	}
	if before, ok := j.of[id]; ok && before != to {
		j.two[id] = true
	}
	j.of[id] = to
}

// shared reports whether a job was given to different recordings.
func (j *jobs) shared(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.two[id]
}

// clean writes a copy of the clip that is cut to its speech, without DC and at a usual level.
func (s *Screener) clean(c written) (string, error) {
	f, err := s.root.Open(c.file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	pcm, err := clip.Cleaned(f, c.audio.Rate, clip.Voiced(c.audio))
	if err != nil {
		return "", err
	}
	return s.write(strings.TrimSuffix(c.file, ".wav")+"-cleaned", c.audio.Rate, pcm)
}

func (s *Screener) discard(name string) {
	if s.cfg.Keep {
		return
	}
	if err := s.root.Remove(name); err != nil {
		s.cfg.Log.Warn("an analysed segment could not be removed", "segment", name, "error", err)
	}
}

func (s *Screener) fail(seg *PendingSegment, reason string, err error) {
	seg.update(func(r *report.SegmentReport) { r.State, r.Reason, r.Detail = report.StateFailed, reason, err.Error() })
	s.settled(seg)
}

func (s *Screener) settled(seg *PendingSegment) {
	if s.cfg.OnSettled != nil {
		s.cfg.OnSettled(seg.call, seg.Report())
	}
}

// maxFileName bounds the part of a file name that comes from a call id or a leg name.
const maxFileName = 80

// fileName keeps of a name what is harmless in a file name. A name that this changes gets a part of its hash, so that different
// names stay different.
func fileName(name string) string {
	out := []byte(name)
	for i, b := range out {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '_':
		default:
			out[i] = '_'
		}
	}
	if string(out) == name && name != "" && len(name) <= maxFileName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s-%x", out[:min(len(out), maxFileName)], sum[:4])
}
