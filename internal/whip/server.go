package whip

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"

	"callscreen/internal/limit"
	"callscreen/internal/problem"
	"callscreen/internal/rtc"
)

// Intake is what the server needs of the rest of the program.
type Intake interface {
	// Open admits a session. An error of type *Refusal says how to answer it.
	Open(ctx context.Context, s Session) (Leg, error)
}

// Leg is where the audio of a session goes.
type Leg interface {
	// Track reads a track to its end. It is called for each track of the session, one after the other.
	Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error
	// Close is called once, when the session is over and no Track is running: at the wish of the sender, or because the
	// connection was lost.
	Close(lost bool)
}

// Session is what a sender says it sends.
type Session struct {
	Call, Leg string
	Metadata  map[string]string // the query parameters that mean nothing to the server
	Channels  []string          // two legs that share a stereo track, from ?channels=caller,agent
	Token     string            // name of the token that was presented
}

// Sender is who presents a token, and which call and leg it is good for; "" is any.
type Sender struct{ Name, Call, Leg string }

// may tells whether a token is good for a session. One for a single leg is not for a track that becomes two.
func (s Sender) may(c Session) bool {
	return (s.Call == "" || s.Call == c.Call) && (s.Leg == "" || s.Leg == c.Leg && len(c.Channels) == 0)
}

func notThisCall() error {
	return refuse(http.StatusForbidden, "the token is good for another call or leg")
}

// Refusal is why a session is not admitted.
type Refusal struct {
	Status     int
	RetryAfter time.Duration
	Reason     string
}

func (r *Refusal) Error() string { return r.Reason }

// Config says what the server does. Zero values mean the defaults, where there are any.
type Config struct {
	Engine *rtc.Engine
	Intake Intake
	// Auth tells whose token it is; ok is false for one that may not send. nil lets everybody in.
	Auth func(ctx context.Context, token string) (who Sender, ok bool)
	// Origins are web origins that may use the server from a page; "*" is any. Default: none but the server's own.
	Origins []string
	// StrictPreconditions makes If-Match compulsory, as RFC 9725 has it. Many clients leave it out.
	StrictPreconditions bool
	MaxSessions         int           // in all; default 1000
	MaxPerToken         int           // default MaxSessions
	Handshake           time.Duration // until the media connection must stand; default 15 s
	Idle                time.Duration // without any packet, after which a session is lost; default 10 min
	// PerSecond is how many requests one address may make; default 50, and ten times as many at once. What is sent to an
	// open session does not count.
	PerSecond float64
	// Client is the address that a request comes from. Default: that of the connection.
	Client func(*http.Request) netip.Addr
	Log    *slog.Logger
}

// Server is the WHIP endpoint and its sessions. It is an http.Handler for /whip/.
type Server struct {
	cfg   Config
	mux   *http.ServeMux
	rates *limit.Table

	mu       sync.Mutex
	sessions map[string]*session
	draining bool
	running  sync.WaitGroup // sessions

	stats struct {
		opened, refused, lost, lenient atomic.Uint64
	}
}

// Stats counts sessions.
type Stats struct {
	Open    int
	Opened  uint64
	Refused uint64 // requests that did not become a session
	Lost    uint64 // ended without a DELETE
	Lenient uint64 // requests that were let through without the If-Match that the RFC demands
}

const (
	maxSDP        = 64 << 10
	sdpType       = "application/sdp"
	fragmentType  = "application/trickle-ice-sdpfrag"
	sessionPrefix = "/whip/session/"
)

// NewServer makes a server.
func NewServer(cfg Config) *Server {
	def := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	def(&cfg.MaxSessions, 1000)
	def(&cfg.MaxPerToken, cfg.MaxSessions)
	if cfg.Handshake == 0 {
		cfg.Handshake = 15 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = 10 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.PerSecond == 0 {
		cfg.PerSecond = 50
	}
	if cfg.Client == nil {
		cfg.Client = peer
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux(), sessions: map[string]*session{}, rates: limit.NewTable(rate.Limit(cfg.PerSecond), int(math.Ceil(10*cfg.PerSecond)))}
	s.mux.HandleFunc("/whip/{call}/{leg}", s.endpoint)
	s.mux.HandleFunc(sessionPrefix+"{id}", s.resource)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusNotFound, "there is nothing here (hint: POST to /whip/CALL/LEG)")
	})
	return s
}

// Stats returns what happened so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.sessions)
	s.mu.Unlock()
	return Stats{Open: open, Opened: s.stats.opened.Load(), Refused: s.stats.refused.Load(), Lost: s.stats.lost.Load(), Lenient: s.stats.lenient.Load()}
}

// Drain refuses new sessions. Those that are open go on.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// Close refuses new sessions, ends all that are open, and waits for them.
func (s *Server) Close() {
	s.Drain()
	s.mu.Lock()
	open := make([]*session, 0, len(s.sessions))
	for _, c := range s.sessions {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.end(true)
	}
	s.running.Wait()
}

// End ends the session of a leg, as its sender could by DELETE. It returns false if there is none.
func (s *Server) End(call, leg string) bool {
	s.mu.Lock()
	var found *session
	for _, c := range s.sessions {
		if c.what.Call == call && c.what.Leg == leg {
			found = c
		}
	}
	s.mu.Unlock()
	if found != nil {
		found.end(false)
	}
	return found != nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.cors(w, r)
	s.mux.ServeHTTP(w, r)
}

// cors lets pages of the configured origins use the server, RFC 9725 section 4.1 wants that possible.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	for _, o := range s.cfg.Origins {
		if o == "*" || o == origin {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Methods", "OPTIONS, POST, PATCH, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
			h.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After")
			h.Set("Access-Control-Max-Age", "600")
			return
		}
	}
}

// identify tells whose request it is, if its token is good.
func (s *Server) identify(r *http.Request) (who Sender, ok bool) {
	if s.cfg.Auth == nil {
		return Sender{}, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		who, ok = s.cfg.Auth(r.Context(), strings.TrimSpace(token))
	}
	return who, ok
}

// authorized tells whose request it is. Without a good token it answers and returns false.
func (s *Server) authorized(w http.ResponseWriter, r *http.Request) (who Sender, ok bool) {
	if who, ok = s.identify(r); !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="callscreen"`)
		problem.Write(w, http.StatusUnauthorized, "a bearer token for ingest is needed")
	}
	return who, ok
}

// endpoint is where sessions begin.
func (s *Server) endpoint(w http.ResponseWriter, r *http.Request) {
	if !s.admitted(w, r, nil) {
		return
	}
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Accept-Post", sdpType)
		w.Header().Set("Allow", "OPTIONS, POST")
		if _, ok := s.identify(r); ok { // a page asks without a token before each request, and is not told
			s.nameServers(w.Header())
		}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent) // section 4.2: nothing to see
	case http.MethodPost:
		if who, ok := s.authorized(w, r); ok {
			if err := s.open(w, r, who); err != nil {
				s.stats.refused.Add(1)
				s.answerError(w, r, err)
			}
		} else {
			s.stats.refused.Add(1)
		}
	default:
		w.Header().Set("Allow", "OPTIONS, POST")
		problem.Write(w, http.StatusMethodNotAllowed, "the endpoint takes POST")
	}
}

// about is the call and the leg of a request. The address of a session says neither, and is not for the log.
func (s *Server) about(r *http.Request) (call, leg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.sessions[r.PathValue("id")]; c != nil {
		return c.what.Call, c.what.Leg
	}
	return r.PathValue("call"), r.PathValue("leg")
}

// answerError turns an error into an answer.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var no *refused
	var refusal *Refusal
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &no):
		problem.Write(w, no.status, no.text)
	case errors.As(err, &refusal):
		if refusal.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((refusal.RetryAfter+time.Second-1)/time.Second)))
		}
		problem.Write(w, refusal.Status, refusal.Reason)
	case errors.As(err, &large):
		problem.Write(w, http.StatusRequestEntityTooLarge, "the body is larger than 64 KiB")
	case r.Context().Err() != nil:
		problem.Write(w, http.StatusRequestTimeout, "the request took too long")
	default:
		call, leg := s.about(r)
		s.cfg.Log.Warn("a WHIP request failed", "method", r.Method, "call", call, "leg", leg, "error", err)
		problem.Write(w, http.StatusInternalServerError, "the request could not be carried out")
	}
}

// body reads the body of a request if it is of a type.
func body(w http.ResponseWriter, r *http.Request, want string) (string, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != want {
		return "", refuse(http.StatusUnsupportedMediaType, "the content type is %q, want %s", r.Header.Get("Content-Type"), want)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSDP))
	return string(data), err
}

// readSession takes from the URL what the sender says of itself.
func readSession(r *http.Request, token string) (Session, error) {
	c := Session{Call: r.PathValue("call"), Leg: r.PathValue("leg"), Token: token, Metadata: map[string]string{}}
	for what, name := range map[string]string{"call": c.Call, "leg": c.Leg} {
		if !ValidName(name) {
			return c, refuse(http.StatusBadRequest, "the name of the %s is empty, longer than 128 bytes or not printable", what)
		}
	}
	parameters, err := Metadata(r.URL.RawQuery)
	if err != nil {
		return c, err
	}
	for key, value := range parameters {
		if key != "channels" {
			c.Metadata[key] = value
			continue
		}
		c.Channels = strings.Split(value, ",")
		if len(c.Channels) != 2 || !ValidName(c.Channels[0]) || !ValidName(c.Channels[1]) || c.Channels[0] == c.Channels[1] {
			return c, refuse(http.StatusBadRequest, "channels must name two legs, as in ?channels=caller,agent")
		}
	}
	return c, nil
}

// ValidName tells whether a call or a leg may be called so.
func ValidName(s string) bool {
	return s != "" && len(s) <= 128 && s != "." && s != ".." && !strings.ContainsRune(s, '/') && !strings.ContainsFunc(s, unprintable)
}

// unprintable also holds for what is no UTF-8: it would become another name in JSON, and no database takes it.
func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// open begins a session.
func (s *Server) open(w http.ResponseWriter, r *http.Request, who Sender) error {
	text, err := body(w, r, sdpType)
	if err != nil {
		return err
	}
	offer, err := readOffer(text)
	if err != nil {
		return err
	}
	description, err := readSession(r, who.Name)
	if err != nil {
		return err
	}
	if !who.may(description) {
		return notThisCall()
	}
	c := &session{server: s, id: rand.Text(), token: who.Name, what: description, requests: rate.NewLimiter(requestsPerSecond, requestsAtOnce)}
	if err := s.reserve(c); err != nil {
		return err
	}
	if err := c.start(r.Context(), offer); err != nil {
		c.end(true)
		return err
	}
	s.stats.opened.Add(1)
	h := w.Header()
	h.Set("Content-Type", sdpType)
	h.Set("Location", sessionPrefix+c.id)
	h.Set("ETag", c.etag)
	h.Set("Accept-Patch", fragmentType)
	s.nameServers(h)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, c.answer) // a sender that is gone is noticed by its media
	return nil
}

// reserve takes a place for a session.
func (s *Server) reserve(c *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return &Refusal{Status: http.StatusServiceUnavailable, RetryAfter: 10 * time.Second, Reason: "the server is shutting down"}
	}
	mine := 0
	for _, other := range s.sessions {
		if other.token == c.token {
			mine++
		}
	}
	if len(s.sessions) >= s.cfg.MaxSessions || mine >= s.cfg.MaxPerToken {
		return &Refusal{Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second, Reason: "there are as many sessions as are allowed"}
	}
	s.sessions[c.id] = c
	s.running.Add(1)
	return nil
}

func (s *Server) release(c *session) {
	s.mu.Lock()
	delete(s.sessions, c.id)
	s.mu.Unlock()
	s.running.Done()
}

// resource is a session that is open.
func (s *Server) resource(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	c := s.sessions[r.PathValue("id")]
	s.mu.Unlock()
	if !s.admitted(w, r, c) {
		return
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Accept-Patch", fragmentType)
		w.Header().Set("Allow", "OPTIONS, PATCH, DELETE")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	who, ok := s.authorized(w, r)
	if !ok {
		return
	}
	// A session of somebody else looks like none.
	if c == nil || c.token != who.Name {
		problem.Write(w, http.StatusNotFound, "there is no such session")
		return
	}
	if !who.may(c.what) {
		s.answerError(w, r, notThisCall())
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		c.end(false)
		w.WriteHeader(http.StatusOK)
	case http.MethodPatch:
		if err := s.patch(w, r, c); err != nil {
			s.answerError(w, r, err)
		}
	default:
		w.Header().Set("Allow", "OPTIONS, PATCH, DELETE")
		problem.Write(w, http.StatusMethodNotAllowed, "a session takes PATCH and DELETE")
	}
}

// patch adds candidates to a session, or restarts its ICE. RFC 9725 section 4.3.
func (s *Server) patch(w http.ResponseWriter, r *http.Request, c *session) error {
	text, err := body(w, r, fragmentType)
	if err != nil {
		return err
	}
	f, err := readFragment(text)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	c.negotiation.Lock()
	defer c.negotiation.Unlock()
	restart := c.isRestart(f)
	if err := c.count(f, restart); err != nil {
		return err
	}
	match := r.Header.Get("If-Match")
	switch {
	case match == "" && s.cfg.StrictPreconditions:
		return refuse(http.StatusPreconditionRequired, "If-Match is missing (hint: the ETag of the session, or * for an ICE restart)")
	case match == "":
		s.stats.lenient.Add(1)
	case match == "*" && restart, match == c.etag:
	default:
		return refuse(http.StatusPreconditionFailed, "If-Match is not the ETag of the session")
	}
	if !restart {
		if err := c.trickle(f); err != nil {
			return refuse(http.StatusBadRequest, "a candidate cannot be used: %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	answer, err := c.restart(r.Context(), f)
	if err != nil {
		s.cfg.Log.Warn("an ICE restart failed; the session goes on as it was", "call", c.what.Call, "leg", c.what.Leg, "error", err)
		return refuse(http.StatusUnprocessableEntity, "the restart failed, the session goes on as it was")
	}
	w.Header().Set("Content-Type", fragmentType)
	w.Header().Set("ETag", c.etag)
	_, _ = io.WriteString(w, answer)
	return nil
}
