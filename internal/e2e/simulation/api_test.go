package simulation_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptrace"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// mode is the way in which the analysis API treats uploads and polls.
type mode int

const (
	healthy mode = iota
	refusesConnections
	busy           // 503 before the body is read
	limited        // 429 with Retry-After
	hangs          // reads everything and answers nothing; half of the uploads are accepted
	gatewayTimeout // 504 after the body; half of the uploads are accepted
	badGateway     // 502 after the body; half of the uploads are accepted
	html           // 200 with a page; half of the uploads are accepted
	resets         // after the body; half of the uploads are accepted
	noCredit       // 402
	keyRefused     // 401
	otherJob       // polls answer for another job
	noScore        // completed without a score
	modes
)

func (m mode) String() string {
	return []string{
		"healthy", "refuses connections", "503", "429", "hangs", "504 after the body", "502 after the body", "200 with HTML",
		"resets", "402", "401", "answers for another job", "completed without a score",
	}[m]
}

// upload is one upload of a clip of which the API has the whole body.
type upload struct {
	node    string
	at, end time.Time // end: the answer, or the loss of the connection
	unclear bool      // nothing was answered that says what became of it
	job     string    // if it was accepted
}

// job is an analysis that the API has accepted.
type job struct {
	clip   int
	doneAt time.Time
	fails  bool
	asked  []time.Time // polls that were answered, by the time of the answer
}

// service is the analysis API that all nodes use.
type service struct {
	t     *world
	mu    sync.Mutex
	rng   *rand.Rand
	mode  mode
	jobs  map[string]*job
	ups   map[int][]*upload // by clip
	under map[int]int       // uploads that are under way, by clip
}

func newService(w *world) *service {
	return &service{
		t:     w,
		rng:   w.branch(),
		jobs:  map[string]*job{},
		ups:   map[int][]*upload{},
		under: map[int]int{},
	}
}

func (s *service) set(m mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

// line is the connection of a node to the API.
type line struct {
	s    *service
	node *node
}

// RoundTrip implements http.RoundTripper.
func (l line) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	ctx := r.Context()
	if err := l.node.pass(ctx); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	m := l.s.mode
	l.s.mu.Unlock()
	if m == refusesConnections {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	var status int
	var body string
	var err error
	if r.Method == http.MethodPost {
		status, body, err = l.submit(ctx, r, m)
	} else {
		status, body, err = l.poll(ctx, path.Base(r.URL.Path), m)
	}
	if err != nil {
		return nil, err
	}
	if err := l.node.pass(ctx); err != nil { // the answer reaches a node that runs
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if status == http.StatusTooManyRequests {
		header.Set("Retry-After", "2")
	}
	return &http.Response{
		StatusCode: status,
		Header:     header,
		Body:       io.NopCloser(strings.NewReader(body)),
		Request:    r,
	}, nil
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

func (l line) submit(ctx context.Context, r *http.Request, m mode) (int, string, error) {
	switch m {
	case busy:
		return http.StatusServiceUnavailable, `{"message":"busy"}`, nil
	case limited:
		return http.StatusTooManyRequests, `{"message":"slow down"}`, nil
	case noCredit:
		return http.StatusPaymentRequired, `{"message":"no credit"}`, nil
	case keyRefused:
		return http.StatusUnauthorized, `{"message":"unknown key"}`, nil
	}
	clip, err := clipOf(r)
	if err != nil {
		return http.StatusBadRequest, `{"message":"not a recording"}`, nil
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	u := l.s.uploaded(clip, l.node.name)
	defer l.s.ended(clip, u)
	if err := pause(ctx, time.Duration(50+l.s.number(1500))*time.Millisecond); err != nil {
		l.s.accept(clip, u, 0.5)
		u.unclear = true
		return 0, "", err
	}
	switch m {
	case hangs, gatewayTimeout, badGateway, html, resets:
		l.s.accept(clip, u, 0.5)
		u.unclear = true
	}
	switch m {
	case hangs:
		<-ctx.Done()
		return 0, "", ctx.Err()
	case resets:
		return 0, "", errReset
	case gatewayTimeout:
		return http.StatusGatewayTimeout, "<html>504</html>", nil
	case badGateway:
		return http.StatusBadGateway, "<html>502</html>", nil
	case html:
		return http.StatusOK, "<html>welcome</html>", nil
	}
	l.s.accept(clip, u, 1)
	if l.node.gone() {
		u.unclear = true
		return 0, "", errGone
	}
	return http.StatusOK, fmt.Sprintf(`{"id":%q,"status":"queued","job_type":"audio"}`, u.job), nil
}

func (l line) poll(ctx context.Context, id string, m mode) (int, string, error) {
	switch m {
	case busy:
		return http.StatusServiceUnavailable, `{}`, nil
	case limited:
		return http.StatusTooManyRequests, `{}`, nil
	case hangs:
		<-ctx.Done()
		return 0, "", ctx.Err()
	case gatewayTimeout:
		return http.StatusGatewayTimeout, "<html>504</html>", nil
	case badGateway:
		return http.StatusBadGateway, "<html>502</html>", nil
	case html:
		return http.StatusOK, "<html>welcome</html>", nil
	case resets:
		return 0, "", errReset
	case noCredit:
		return http.StatusPaymentRequired, `{}`, nil
	case keyRefused:
		return http.StatusUnauthorized, `{}`, nil
	case otherJob:
		return http.StatusOK, `{"id":"another","status":"completed","score":0.01}`, nil
	}
	if err := pause(ctx, 30*time.Millisecond); err != nil {
		return 0, "", err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	j := l.s.jobs[id]
	switch {
	case j == nil:
		return http.StatusNotFound, `{"message":"no such job"}`, nil
	case time.Now().Before(j.doneAt):
		return http.StatusOK, fmt.Sprintf(`{"id":%q,"status":"queued"}`, id), nil
	case m == noScore:
		return http.StatusOK, fmt.Sprintf(`{"id":%q,"status":"completed"}`, id), nil
	}
	j.asked = append(j.asked, time.Now())
	if j.fails {
		return http.StatusOK, fmt.Sprintf(`{"id":%q,"status":"failed","error_code":"Unknown"}`, id), nil
	}
	score := 0.05
	if synthetic, _ := l.s.t.nature(j.clip); synthetic {
		score = 0.95
	}
	return http.StatusOK, fmt.Sprintf(`{"id":%q,"status":"completed","score":%v}`, id, score), nil
}

func (s *service) number(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

// uploaded notes an upload whose body has arrived.
func (s *service) uploaded(clip int, node string) *upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &upload{node: node, at: time.Now()}
	s.ups[clip] = append(s.ups[clip], u)
	s.under[clip]++
	if s.under[clip] > 1 {
		s.t.wrong("clip %d is uploaded twice at the same time, now by %s", clip, node)
	}
	return u
}

func (s *service) ended(clip int, u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under[clip]--
	u.end = time.Now()
}

// accept makes a job of an upload, with a probability.
func (s *service) accept(clip int, u *upload, of float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rng.Float64() >= of {
		return
	}
	_, unusable := s.t.nature(clip)
	u.job = fmt.Sprintf("job-%d-%d", clip, len(s.ups[clip]))
	s.jobs[u.job] = &job{
		clip:   clip,
		doneAt: time.Now().Add(time.Duration(s.rng.IntN(12000)) * time.Millisecond),
		fails:  unusable,
	}
}

// clipOf returns the number that is in every sample of an uploaded clip.
func clipOf(r *http.Request) (int, error) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return 0, err
	}
	part, err := multipart.NewReader(r.Body, params["boundary"]).NextPart()
	if err != nil {
		return 0, err
	}
	wav, err := io.ReadAll(part)
	if err != nil {
		return 0, err
	}
	if len(wav) < 1000 || part.FormName() != "file" {
		return 0, errors.New("no WAV file")
	}
	_, err = io.Copy(io.Discard, r.Body)
	return int(binary.LittleEndian.Uint16(wav[len(wav)/2&^1:])), err
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// uploads returns the uploads of a clip, and job an accepted job, nil if there is none.
func (s *service) uploads(clip int) []*upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ups[clip])
}

func (s *service) job(id string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[id]
}
