package simulator

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server simulates the API. It is an http.Handler, safe for concurrent use, and starts no goroutine.
type Server struct {
	script Script
	now    func() time.Time
	mux    *http.ServeMux

	mu      sync.Mutex
	random  *mathrand.Rand
	stats   Stats
	uploads []Upload
	jobs    map[string]*job
	order   []string       // ids of jobs, oldest first
	used    map[string]int // number of answers given, by rule and recording
	first   time.Time      // of the first request
}

// Stats counts requests.
type Stats struct {
	Submits  int // read completely, whatever the answer
	Accepted int // became a job
	Polls    int
	Failures int // requests failed at random
	Bytes    int64
}

type job struct {
	id     any // a string or a number
	upload Upload
	result Result
	poll   *Answer
	due    time.Time
	polls  int
	failed bool
}

// maxJobs limits the memory of a long-running simulator. The oldest jobs are forgotten.
const maxJobs = 1 << 16

// New returns a simulator that follows a script.
func New(script Script) *Server {
	s := &Server{
		script: script,
		now:    time.Now,
		mux:    http.NewServeMux(),
		jobs:   map[string]*job{},
		used:   map[string]int{},
		random: mathrand.New(mathrand.NewPCG(script.Seed, 7)),
	}
	s.mux.HandleFunc("POST /api/v4/deepfake/audio/analyze", s.submit)
	s.mux.HandleFunc("GET /api/v4/deepfake/job/{id}", s.job)
	return s
}

// WithClock replaces the system clock. It returns s and must be called before the first request.
func (s *Server) WithClock(now func() time.Time) *Server {
	s.now = now
	return s
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Uploads returns the properties of the accepted recordings, oldest first.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Upload(nil), s.uploads...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Simulated", "true")
	s.mu.Lock()
	if s.first.IsZero() {
		s.first = s.now()
	}
	s.mu.Unlock()
	if token := r.Header.Get("ds-api-token"); token == "" || s.script.Token != "" && token != s.script.Token {
		drain(r)
		problem(w, http.StatusUnauthorized, "the token is not accepted")
		return
	}
	if s.fail(w, r) {
		return
	}
	s.mux.ServeHTTP(w, r)
}

// fail fails a share of all requests in one of the ways of a real service.
func (s *Server) fail(w http.ResponseWriter, r *http.Request) bool {
	if s.script.FailRate == 0 {
		return false
	}
	s.mu.Lock()
	hit, how := s.random.Float64() < s.script.FailRate, s.random.IntN(5)
	if hit {
		s.stats.Failures++
	}
	s.mu.Unlock()
	if !hit {
		return false
	}
	answers := []Answer{
		{Status: http.StatusInternalServerError, Body: `{"message":"internal error"}`},
		{Status: http.StatusBadGateway, Body: "<html><h1>502 Bad Gateway</h1></html>", ContentType: "text/html"},
		{Status: http.StatusTooManyRequests, Body: `{"message":"slow down"}`},
		{Reset: "before"},
		{Reset: "after"},
	}
	if how == 4 && r.Method == http.MethodPost {
		how = 3 // excluded at random: an upload lost after acceptance costs a job, see Rule
	}
	answers[how].give(w, r)
	return true
}

func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	u, err := readUpload(r)
	s.mu.Lock()
	s.stats.Submits++
	n := s.stats.Submits
	s.stats.Bytes += u.Size
	s.mu.Unlock()
	var refused errUpload
	if errors.As(err, &refused) {
		drain(r)
		problem(w, refused.status, refused.text)
		return
	}
	rule, i := s.rule(n, u)
	a, _ := s.outage()
	if a == nil && rule.Submit != nil && s.use("submit", i, u.SHA256, rule.Submit.Times) {
		a = rule.Submit
	}
	if a != nil {
		if a.Accept || a.Reset == "after" {
			s.accept(i, rule, u)
		}
		a.give(w, r)
		return
	}
	j := s.accept(i, rule, u)
	s.mu.Lock()
	answer := map[string]any{"id": j.id, "status": "queued", "job_type": "audio"}
	if j.result.AtOnce {
		answer = j.finished()
	}
	s.mu.Unlock()
	write(w, answer)
}

// outage returns the answers of the present outage, nil without one.
func (s *Server) outage() (submit, poll *Answer) {
	s.mu.Lock()
	at := s.now().Sub(s.first)
	s.mu.Unlock()
	for _, o := range s.script.Outages {
		if at >= o.From && (o.To == 0 || at < o.To) {
			return o.Submit, o.Poll
		}
	}
	return nil, nil
}

// rule returns the first matching rule and its index.
func (s *Server) rule(n int, u Upload) (Rule, int) {
	for i, r := range s.script.Rules {
		if r.Match.matches(n, u) {
			return r, i
		}
	}
	return Rule{}, -1
}

// use reports whether an answer of a rule is still due, and counts it.
func (s *Server) use(op string, rule int, recording string, times int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := op + strconv.Itoa(rule) + recording
	s.used[key]++
	return times == 0 || s.used[key] <= times
}

func (s *Server) accept(i int, rule Rule, u Upload) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Accepted++
	j := &job{upload: u, result: rule.Result, poll: rule.Poll, due: s.now().Add(s.script.Latency)}
	id := strings.ToLower(rand.Text())
	if rule.Result.NumberID {
		id = strconv.Itoa(1000 + s.stats.Accepted)
		j.id = 1000 + s.stats.Accepted
	} else {
		j.id = id
	}
	if rule.Result.Failed {
		key := "failed" + strconv.Itoa(i)
		s.used[key]++
		j.failed = rule.Result.FailedTimes == 0 || s.used[key] <= rule.Result.FailedTimes
	}
	s.jobs[id] = j
	s.order = append(s.order, id)
	s.uploads = append(s.uploads, u)
	if len(s.order) > maxJobs {
		delete(s.jobs, s.order[0])
		s.order, s.uploads = s.order[1:], s.uploads[1:]
	}
	return j
}

func (s *Server) job(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.mu.Lock()
	s.stats.Polls++
	j := s.jobs[id]
	s.mu.Unlock()
	if _, a := s.outage(); a != nil {
		a.give(w, r)
		return
	}
	if j == nil {
		problem(w, http.StatusNotFound, "no such job")
		return
	}
	if j.poll != nil && s.use("poll", 0, id, j.poll.Times) {
		j.poll.give(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.polls++
	switch {
	case j.polls <= len(j.result.Statuses):
		write(w, map[string]any{"id": j.id, "status": j.result.Statuses[j.polls-1], "job_type": "audio"})
	case j.result.Never || s.now().Before(j.due):
		write(w, map[string]any{"id": j.id, "status": "queued", "job_type": "audio"})
	default:
		write(w, j.finished())
	}
}

// finished returns the answer for a finished job.
func (j *job) finished() map[string]any {
	a := map[string]any{"id": j.id, "job_type": "audio", "simulated": true, "is_sandbox": true, "file_size": j.upload.Size}
	if j.failed {
		a["status"], a["error_code"], a["message"] = "failed", j.result.ErrorCode, j.result.Message
		return a
	}
	a["status"] = "completed"
	score := j.result.Score
	if score == nil {
		score = usualScore(j.upload)
	}
	if !j.result.NoScore {
		a["score"] = score
	}
	a["verdict"] = "deepfake_unlikely"
	if f, ok := score.(float64); ok && f > 0.5 {
		a["verdict"] = "deepfake_likely"
	}
	if j.result.Verdict != "" {
		a["verdict"] = j.result.Verdict
	}
	return a
}

// usualScore is high with the marker tone. Otherwise it is low, and constant for the same recording.
func usualScore(u Upload) float64 {
	if u.Marker {
		return 0.93
	}
	n, err := strconv.ParseUint(u.SHA256[:4], 16, 16)
	if err != nil {
		return 0.1
	}
	return math.Round((0.03+0.17*float64(n)/0xffff)*100) / 100
}

// give writes the answer.
func (a Answer) give(w http.ResponseWriter, r *http.Request) {
	if a.Reset != "before" {
		drain(r)
	}
	if a.Hang {
		<-r.Context().Done()
		return
	}
	if a.Delay > 0 {
		t := time.NewTimer(a.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
	if a.Reset != "" {
		reset(w)
		return
	}
	for name, value := range map[string]string{"Retry-After": a.RetryAfter, "Content-Type": a.ContentType, "Location": a.Location} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(max(a.Status, http.StatusOK))
	_, _ = io.WriteString(w, a.Body) // the client may have disconnected
}

// reset drops the connection without an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http then drops the connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

func drain(r *http.Request) { _, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 2*maxUpload)) }

func problem(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\"message\":%q,\"simulated\":true}\n", text)
}

func write(w http.ResponseWriter, answer map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	data, err := json.Marshal(answer)
	if err != nil { // a script may hold what JSON cannot: .nan, for example
		answer["score"] = fmt.Sprint(answer["score"])
		data, _ = json.Marshal(answer)
	}
	_, _ = w.Write(append(data, '\n'))
}
