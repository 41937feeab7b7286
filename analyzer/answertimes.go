package analyzer

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// Times are told apart by intervals that grow by a factor from the shortest to the longest one.
	shortestTime = 100 * time.Millisecond
	timeFactor   = 1.06
	timeCount    = 150 // up to 10 min
	// memory is the number of jobs that are remembered.
	memory = 256
	// fading is the weight of a job relative to that of the next one.
	fading = 0.99
	// enough is the number of jobs from which on their times are used.
	enough = 20
	// floor is the share of a job that is spread evenly over all times that its answers allow: the service may have changed.
	floor = 0.02
	// rounds is the number of rounds in which the shares of jobs are estimated. Many would tell apart what the answers do not.
	rounds = 12
)

// jobTime bounds the time that a job took, in seconds: longer than After, and at most By.
type jobTime struct {
	After float64 `json:"after"`
	By    float64 `json:"by"`
}

// answerTimes are the times of the last jobs, the newest last.
type answerTimes []jobTime

// edge returns the lower end of an interval in seconds.
func edge(k int) float64 {
	if k == 0 {
		return 0
	}
	return shortestTime.Seconds() * math.Pow(timeFactor, float64(k-1))
}

// learn remembers a job.
func (a *answerTimes) learn(j jobTime) {
	if len(*a) == memory {
		*a = append((*a)[:0], (*a)[1:]...)
	}
	*a = append(*a, j)
}

// shares is the distribution of the times of jobs over the intervals.
type shares [timeCount]float64

// estimate returns the most likely distribution. An answer says only between which questions a job was finished, so a job counts for all
// times in between, by what the others show (expectation maximisation for interval-censored data).
func (a answerTimes) estimate() (w shares) {
	for k := range w {
		w[k] = 1.0 / timeCount
	}
	for range rounds {
		var next shares
		weight, total := 1.0, 0.0
		for i := len(a) - 1; i >= 0; i-- {
			a[i].divide(&w, &next, weight)
			total += weight
			weight *= fading
		}
		if total == 0 {
			return w
		}
		for k := range next {
			next[k] /= total
		}
		w = next
	}
	return w
}

// divide adds the weight of a job to the intervals that it may have ended in, in proportion to their shares.
func (j jobTime) divide(by, to *shares, weight float64) {
	first := 0
	if j.After >= edge(1) {
		first = min(1+int(math.Log(j.After/edge(1))/math.Log(timeFactor)), timeCount-1)
	}
	known, even := 0.0, 0.0
	inside := func(k int) float64 {
		return max(min(edges[k+1], j.By)-max(edges[k], j.After), 0) / (edges[k+1] - edges[k])
	}
	for k := first; k < timeCount && edges[k] < j.By; k++ {
		known += inside(k) * by[k]
		even += inside(k) * (edges[k+1] - edges[k])
	}
	if even == 0 {
		return
	}
	for k := first; k < timeCount && edges[k] < j.By; k++ {
		part := inside(k) * (edges[k+1] - edges[k]) / even
		if known > 0 {
			part = floor*part + (1-floor)*inside(k)*by[k]/known
		}
		to[k] += weight * part
	}
}

// edges are the lower ends of the intervals, and the upper end of the last one.
var edges = func() (list [timeCount + 1]float64) {
	for k := range list {
		list[k] = edge(k)
	}
	return list
}()

// spread returns the share of jobs that end in each step of the given length, in seconds, for a number of steps.
func (w shares) spread(step float64, steps int) []float64 {
	density := make([]float64, steps)
	for k, share := range w {
		begin, end := edges[k], edges[k+1]
		for i := int(begin / step); i < steps && float64(i)*step < end; i++ {
			inside := max(min(end, float64(i+1)*step)-max(begin, float64(i)*step), 0)
			density[i] += share * inside / (end - begin)
		}
	}
	return density
}

// quantile returns the time in seconds at which a share of the jobs is finished.
func (w shares) quantile(share float64) float64 {
	sum := 0.0
	for k := range w {
		if sum += w[k]; sum >= share {
			return edges[k+1]
		}
	}
	return edges[timeCount]
}

// pacer learns how long jobs take, by the size of their uploads, and says when to ask about a job.
type pacer struct {
	initial, most time.Duration // of the interval between two questions
	now           func() time.Time

	mu    sync.Mutex
	times [sizes]answerTimes // the last one is that of all sizes
	plans [sizes]*plan
	stale [sizes]int // jobs since the plan was made
	jobs  map[string]*asked
	order []string // ids in the order of their submission
}

const (
	sizes   = 5 // 0: up to 128 kB, 4 s of 16 kHz; then twice as much each; the last one: all
	allSize = sizes - 1
	// remembered bounds the jobs whose submission is remembered.
	remembered = 10_000
	// replanned is the number of jobs after which a plan is made again.
	replanned = 10
)

// asked is a job that was submitted by this process.
type asked struct {
	size      int
	submitted time.Time
	last      time.Duration // time of the last question since the submission, whatever the answer
	asked     time.Duration // of the last one that found it unfinished
	gap       time.Duration // before that question
	questions int
}

func newPacer(initial, most time.Duration, now func() time.Time) *pacer {
	return &pacer{initial: initial, most: most, now: now, jobs: map[string]*asked{}}
}

// sizeOf returns the class of an upload.
func sizeOf(bytes int64) int {
	class := 0
	for limit := int64(128 << 10); bytes > limit && class < allSize-1; limit *= 2 {
		class++
	}
	return class
}

// submitted remembers a job.
func (p *pacer) submitted(id string, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.jobs[id]; !known {
		if len(p.order) == remembered {
			delete(p.jobs, p.order[0])
			p.order = p.order[1:]
		}
		p.order = append(p.order, id)
	}
	p.jobs[id] = &asked{size: sizeOf(bytes), submitted: p.now()}
}

// question notes that a question was sent at a time.
func (p *pacer) question(id string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if j := p.jobs[id]; j != nil {
		j.last = at.Sub(j.submitted)
	}
}

// unfinished notes that a question which was sent at a time found a job unfinished.
func (p *pacer) unfinished(id string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if j := p.jobs[id]; j != nil {
		since := at.Sub(j.submitted)
		if j.questions++; j.questions > 1 {
			j.gap = since - j.asked
		}
		j.asked = since
	}
}

// finished learns from the first answer that shows a job as finished.
func (p *pacer) finished(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jobs[id]
	if j == nil {
		return
	}
	delete(p.jobs, id)
	if i := slices.Index(p.order, id); i >= 0 {
		p.order = slices.Delete(p.order, i, i+1)
	}
	by := p.now().Sub(j.submitted)
	if by <= j.asked {
		return // the clock was set back
	}
	for _, class := range []int{j.size, allSize} {
		p.times[class].learn(jobTime{j.asked.Seconds(), by.Seconds()})
		p.stale[class]++
	}
}

// wait returns how long to wait before the next question about a job, and whether enough is known to say so. again is a number within
// 0..1 that spreads the questions about jobs that were submitted together.
func (p *pacer) wait(id string, again float64) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jobs[id]
	if j == nil {
		return 0, false
	}
	class := j.size
	if len(p.times[class]) < enough {
		class = allSize
	}
	if len(p.times[class]) < enough {
		return 0, false
	}
	if p.plans[class] == nil || p.stale[class] >= replanned {
		p.plans[class], p.stale[class] = newPlan(p.times[class].estimate(), p.initial, p.most), 0
	}
	at, ok := p.plans[class].next(j, again)
	if !ok {
		return 0, false
	}
	if j.last > 0 {
		at = max(at, j.last+p.initial)
	}
	return max(at-p.now().Sub(j.submitted), 0), true
}

// snapshot returns what was learned, for restore.
func (p *pacer) snapshot() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return json.Marshal(p.times)
}

var errNotLearned = errors.New("these are not the answer times of an analysis API")

// restore takes up what an earlier process had learned.
func (p *pacer) restore(data []byte) error {
	var list []answerTimes
	if err := json.Unmarshal(data, &list); err != nil || len(list) != sizes {
		return errNotLearned
	}
	for _, a := range list {
		if len(a) > memory || slices.ContainsFunc(a, func(j jobTime) bool { return !(j.After >= 0 && j.By > j.After) }) {
			return errNotLearned
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	copy(p.times[:], list)
	p.plans = [sizes]*plan{}
	return nil
}
