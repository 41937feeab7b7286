// Package config is the configuration of the program: one struct, filled from defaults, then a file, then the
// environment, then flags, and judged as a whole.
package config

import (
	"time"

	"callscreen/capture"
	"callscreen/policy"
)

// Config is everything that can be set. The yaml tags are the names of the keys in the file, and, in capitals and joined
// by underscores behind CALLSCREEN_, of the environment variables.
type Config struct {
	Listen       string        `yaml:"listen"`
	AdminListen  string        `yaml:"admin_listen"`
	TLS          TLS           `yaml:"tls"`
	WebRTC       WebRTC        `yaml:"webrtc"`
	DataDir      string        `yaml:"data_dir"`
	Database     Secret        `yaml:"database"`
	Audio        string        `yaml:"audio"`
	AudioKeyFile string        `yaml:"audio_key_file"`
	AudioKey     Secret        `yaml:"-"` // CALLSCREEN_AUDIO_KEY, or the content of AudioKeyFile
	Analysis     Analysis      `yaml:"analysis"`
	Segment      Segment       `yaml:"segment"`
	Spool        Spool         `yaml:"spool"`
	Policy       policy.Policy `yaml:"policy"`
	Retention    Retention     `yaml:"retention"`
	Webhooks     []Webhook     `yaml:"webhooks"`
	WebhookAllow []string      `yaml:"webhook_allow"`
	Auth         Auth          `yaml:"auth"`
	Log          Log           `yaml:"log"`
	Trace        Trace         `yaml:"trace"`
}

// WebRTC says where live audio comes in.
type WebRTC struct {
	UDPPort             int           `yaml:"udp_port"`
	TCPPort             int           `yaml:"tcp_port"`
	PublicIPs           []string      `yaml:"public_ips"`
	ICELite             bool          `yaml:"ice_lite"`
	ICEServers          []string      `yaml:"ice_servers"`
	TURNUsername        string        `yaml:"turn_username"`
	TURNSecretFile      string        `yaml:"turn_secret_file"`
	TURNSecret          Secret        `yaml:"-"` // CALLSCREEN_TURN_SECRET, or the content of TURNSecretFile
	PreferRED           bool          `yaml:"prefer_red"`
	Origins             []string      `yaml:"origins"`
	StrictPreconditions bool          `yaml:"strict_preconditions"`
	MaxSessions         int           `yaml:"max_sessions"`
	MaxSessionsPerToken int           `yaml:"max_sessions_per_token"`
	RequestsPerSecond   float64       `yaml:"requests_per_second"`
	WHEPAllow           []string      `yaml:"whep_allow"`
	Idle                time.Duration `yaml:"idle"`
	Grace               time.Duration `yaml:"grace"`
}

// Analysis says how the analysis API is used.
type Analysis struct {
	BaseURL       string        `yaml:"base_url"`
	APIKeyFile    string        `yaml:"api_key_file"`
	APIKey        Secret        `yaml:"-"` // DATASPIKE_API_KEY, or the content of APIKeyFile
	PollInitial   time.Duration `yaml:"poll_initial"`
	PollMax       time.Duration `yaml:"poll_max"`
	Deadline      time.Duration `yaml:"deadline"`
	MaxAge        time.Duration `yaml:"max_age"`
	MaxInFlight   int           `yaml:"max_in_flight"`
	RatePerSecond float64       `yaml:"rate_per_second"`
	ResendInDoubt bool          `yaml:"resend_in_doubt"`
	EnoughSpeech  time.Duration `yaml:"enough_speech"`
	Recheck       time.Duration `yaml:"recheck"`
	RetryCleaned  bool          `yaml:"retry_cleaned"`
}

// Segment says how calls are cut.
type Segment struct {
	FirstSpeech  time.Duration `yaml:"first_speech"`
	TargetSpeech time.Duration `yaml:"target_speech"`
	MinSpeech    time.Duration `yaml:"min_speech"`
	MaxDuration  time.Duration `yaml:"max_duration"`
	SampleRate   int           `yaml:"sample_rate"`
}

// Segmenter is the same for package capture.
func (s Segment) Segmenter() capture.SegmenterConfig {
	return capture.SegmenterConfig{
		Rate:         s.SampleRate,
		FirstSpeech:  s.FirstSpeech,
		TargetSpeech: s.TargetSpeech,
		MinSpeech:    s.MinSpeech,
		MaxDuration:  s.MaxDuration,
	}
}

// Spool says how much of the disk may hold what is not in the database and the audio store yet. Sizes are in MB of
// 1,000,000 bytes.
type Spool struct {
	MinFreeMB int64         `yaml:"min_free_mb"`
	MaxMB     int64         `yaml:"max_mb"`
	MaxAge    time.Duration `yaml:"max_age"`
}

// Webhook is somebody who wants to be told.
type Webhook struct {
	Name        string   `yaml:"name"`
	URL         string   `yaml:"url"`
	Events      []string `yaml:"events"`
	SecretFiles []string `yaml:"secret_files"`
}

// Retention says how long audio is kept, by the outcome of its call, and how long all else about it.
type Retention struct {
	Clear        time.Duration `yaml:"clear"`
	Flagged      time.Duration `yaml:"flagged"`
	Inconclusive time.Duration `yaml:"inconclusive"`
	Records      time.Duration `yaml:"records"`
}

// Auth says who may do what.
type Auth struct {
	Tokens         []Token  `yaml:"tokens"`
	Session        Session  `yaml:"session"`
	TrustedProxies []string `yaml:"trusted_proxies"`
	Groups         []Group  `yaml:"groups"`
	Proxy          Proxy    `yaml:"proxy"`
	OIDC           OIDC     `yaml:"oidc"`
	JWT            JWT      `yaml:"jwt"`
}

// Session says how long somebody stays signed in at the page.
type Session struct {
	Idle time.Duration `yaml:"idle"`
	Max  time.Duration `yaml:"max"`
}

// Group says what the members of a group of the single sign-on, or of the proxy, may do.
type Group struct {
	Group string   `yaml:"group"`
	Roles []string `yaml:"roles"`
}

// Proxy is one that has signed people in already.
type Proxy struct {
	UserHeader   string   `yaml:"user_header"`
	GroupsHeader string   `yaml:"groups_header"`
	Roles        []string `yaml:"roles"`
}

// OIDC is single sign-on by OpenID Connect.
type OIDC struct {
	Issuer           string   `yaml:"issuer"`
	ClientID         string   `yaml:"client_id"`
	ClientSecretFile string   `yaml:"client_secret_file"`
	ClientSecret     Secret   `yaml:"-"` // CALLSCREEN_OIDC_CLIENT_SECRET, or the content of ClientSecretFile
	RedirectURL      string   `yaml:"redirect_url"`
	Scopes           []string `yaml:"scopes"`
	NameClaim        string   `yaml:"name_claim"`
	GroupsClaim      string   `yaml:"groups_claim"`
	Roles            []string `yaml:"roles"`
}

// Token is a bearer token, known by its hash only.
type Token struct {
	Name   string   `yaml:"name"`
	Roles  []string `yaml:"roles"`
	SHA256 string   `yaml:"sha256"`
}

// Default is the configuration that applies where nothing is set.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		WebRTC: WebRTC{
			UDPPort:             8988,
			TCPPort:             8988,
			MaxSessions:         1000,
			MaxSessionsPerToken: 1000,
			RequestsPerSecond:   50,
			Idle:                10 * time.Minute,
			Grace:               time.Minute,
		},
		DataDir: "./data",
		Analysis: Analysis{
			BaseURL:       "https://api.dataspike.io",
			PollInitial:   time.Second,
			PollMax:       3 * time.Second,
			Deadline:      2 * time.Minute,
			MaxAge:        24 * time.Hour,
			MaxInFlight:   16,
			RatePerSecond: 5,
			ResendInDoubt: true,
			Recheck:       time.Minute,
			RetryCleaned:  true,
		},
		Segment: Segment{
			FirstSpeech:  4 * time.Second,
			TargetSpeech: 10 * time.Second,
			MinSpeech:    3 * time.Second,
			MaxDuration:  30 * time.Second,
			SampleRate:   16000,
		},
		Spool:     Spool{MinFreeMB: 500, MaxMB: 20_000, MaxAge: 168 * time.Hour},
		Policy:    policy.Default(),
		Retention: Retention{Clear: 0, Flagged: 720 * time.Hour, Inconclusive: 72 * time.Hour},
		Auth: Auth{
			Session: Session{Idle: 30 * time.Minute, Max: 12 * time.Hour},
			OIDC:    OIDC{Scopes: []string{"openid", "profile", "email"}, NameClaim: "email", GroupsClaim: "groups"},
			JWT:     JWT{Leeway: 30 * time.Second},
		},
		Log: Log{Level: "info", Format: "text"},
	}
}

// docs says what each key is for, in the words of the reference that Describe prints.
var docs = map[string]string{
	"listen":                        "Address of the HTTP server: WHIP, API, page, metrics. Off loopback, authentication must be configured.",
	"admin_listen":                  "Another address, for /metrics and for what needs the role admin in the API (webhooks, erasing calls): such as 127.0.0.1:8081. They are then not at listen. Off loopback, authentication must be configured. Empty: all is at listen.",
	"tls":                           "Serve HTTPS, at listen and admin_listen. The files are read again when they change; a pair that cannot be used is reported, and the one before stays.",
	"tls.cert_file":                 "Certificate and those between it and the root, as PEM. Empty: plain HTTP.",
	"tls.key_file":                  "Its private key, as PEM.",
	"webrtc":                        "Where live audio comes in.",
	"webrtc.udp_port":               "One UDP port for all media. 0 takes a free one.",
	"webrtc.tcp_port":               "The same over TCP, for senders behind a firewall. 0 turns it off.",
	"webrtc.public_ips":             "Addresses to offer instead of the one that leads out of the machine, behind NAT that maps ports as they are: [203.0.113.7].",
	"webrtc.ice_lite":               "ICE-lite, for a machine with a public address.",
	"webrtc.ice_servers":            "STUN and TURN servers, which senders are told of too: ['stun:stun.example.com:3478', 'turn:turn.example.com:3478?transport=tcp'].",
	"webrtc.turn_username":          "Name at the TURN servers, whose password is the secret. Empty: the secret is one that they share with callscreen (coturn: use-auth-secret), and each session gets credentials of its own, good for 12h. Senders with a token for ingest are told either.",
	"webrtc.turn_secret_file":       "File that holds the secret or password of the TURN servers and nothing else; or the environment variable CALLSCREEN_TURN_SECRET.",
	"webrtc.prefer_red":             "Ask senders for redundant audio (RFC 2198): twice the bitrate, far fewer losses.",
	"webrtc.origins":                "Web origins whose pages may send calls: [https://softphone.example.com].",
	"webrtc.strict_preconditions":   "Demand If-Match of every PATCH, as RFC 9725 has it. Many clients leave it out.",
	"webrtc.max_sessions":           "Legs at a time; further ones are asked to come again later.",
	"webrtc.max_sessions_per_token": "The same for one token.",
	"webrtc.requests_per_second":    "WHIP requests that one address may make a second, ten times as many at once. What is sent to a session that is open does not count.",
	"webrtc.whep_allow":             "Where legs may be fetched from by WHEP, as in webhook_allow. Empty: wherever somebody with the role ingest asks for.",
	"webrtc.idle":                   "A leg that sends no packet for so long is given up.",
	"webrtc.grace":                  "How long a call stays open for a leg whose connection was lost.",
	"data_dir":                      "Folder of the database, the spool and the audio.",
	"database":                      "postgres://... keeps the tables in PostgreSQL, for several machines. Empty: SQLite in data_dir.",
	"audio":                         "s3://bucket/prefix?endpoint=https://host keeps the audio in an S3-compatible store, an absolute path in a folder that all nodes share. Empty: a folder in data_dir, which only this node has.",
	"audio_key_file":                "File of keys that audio is encrypted with before it touches the disk, from callscreen keygen, one a line: the first encrypts, all of them decrypt. Or the environment variable CALLSCREEN_AUDIO_KEY. Empty: audio is not encrypted.",
	"analysis":                      "The analysis API. The key comes from the environment variable DATASPIKE_API_KEY or from api_key_file.",
	"analysis.base_url":             "https://sandboxapi.dataspike.io is the vendor's sandbox.",
	"analysis.api_key_file":         "File that holds the API key and nothing else.",
	"analysis.poll_initial":         "First wait before a job is asked about; grows exponentially, with jitter, up to poll_max.",
	"analysis.poll_max":             "Longest wait between two questions about a job.",
	"analysis.deadline":             "A job that is not done by then counts as failed (timeout).",
	"analysis.max_age":              "A segment that could not be submitted for so long counts as failed (timeout).",
	"analysis.max_in_flight":        "How many segments this node has with the API at a time.",
	"analysis.rate_per_second":      "How many segments are submitted a second at the most, over all nodes that share a database.",
	"analysis.resend_in_doubt":      "Whether a segment is sent once more when the connection was lost after its upload. It may then be paid for twice; otherwise it counts as failed.",
	"analysis.retry_cleaned":        "Whether a job that failed for a reason that may lie in the audio is tried once more, trimmed to its speech and levelled.",
	"analysis.enough_speech":        "Speech of a leg that is analysed without a break. After that, and while its last score is below policy.clear_below, one segment in each recheck is; the others are skipped (sampled) and not paid for. Such a call can be clear only if policy.min_coverage allows it. 0s: all speech is analysed. Recordings always are.",
	"analysis.recheck":              "How far apart the segments of a leg are that are analysed when enough_speech is reached.",
	"segment":                       "How the audio of a leg is cut. Speech is counted without the pauses.",
	"segment.first_speech":          "Speech in the first segment of a leg, for an early verdict.",
	"segment.target_speech":         "Speech in every other segment.",
	"segment.min_speech":            "A segment with less speech is skipped, and not paid for.",
	"segment.max_duration":          "Longest segment, pauses included.",
	"segment.sample_rate":           "Rate of the WAV files in Hz: 8000 or 16000.",
	"spool":                         "What was recorded waits here, in data_dir, until the database and the audio store have it.",
	"spool.min_free_mb":             "Recording stops when less is free on the disk; the rest is for the database.",
	"spool.max_mb":                  "Recording stops when the spool holds so much, which it does only when it cannot be delivered.",
	"spool.max_age":                 "Audio that could not be delivered for so long is deleted, and its segment counts as failed (storage). 0s: never.",
	"policy":                        "What the scores of a call mean.",
	"policy.threshold":              "A score is over it when it is strictly greater.",
	"policy.need":                   "How many scores of a leg must be over the threshold to flag the call.",
	"policy.of":                     "Within how many consecutive segments they must lie. 0: anywhere in the call.",
	"policy.clear_below":            "A score below it ends the suspicion that a score over the threshold began.",
	"policy.min_speech":             "Speech of a leg that must have been analysed before it can be clear.",
	"policy.min_coverage":           "Share of a leg's speech that must have been analysed before it can be clear.",
	"policy.ignore_below":           "A leg with less speech than this did not speak, and does not bear on the call.",
	"policy.on_unscreened":          "What becomes of a call that could not be screened in full: review, or clear when enough of it was analysed.",
	"policy.overrides":              "Other rules for a leg or for calls with certain metadata: [{leg: caller, metadata: {queue: payments}, threshold: 0.5}].",
	"retention":                     "How long audio is kept after the call, by outcome, and all else about it.",
	"retention.clear":               "Audio of clear calls. 0s: not kept at all.",
	"retention.flagged":             "Audio of flagged calls.",
	"retention.inconclusive":        "Audio of inconclusive calls.",
	"retention.records":             "Everything else: scores, decisions, metadata, reviews. Calls that wait for review or have audio stay. At least 24h; 0s: until they are erased.",
	"webhooks":                      "Who is told: [{name: crm, url: https://crm.example.com/hook, events: [call.flagged], secret_files: [hook.secret]}]. Events: call.flagged, call.cleared, call.inconclusive, segment.scored, analysis.error. Each file holds one whsec_ secret; with two, messages carry both signatures.",
	"webhook_allow":                 "Where webhooks may be sent: [crm.example.com, 10.1.0.0/16]. A name allows that host at public addresses, a network the addresses in it; it is judged when the connection is made, after names were looked up, and no proxy is used then. Empty: wherever they are configured to go.",
	"auth":                          "Who may do what. CALLSCREEN_INGEST_TOKEN, CALLSCREEN_REVIEW_TOKEN and CALLSCREEN_ADMIN_TOKEN (or the same with _FILE) are the simple way.",
	"auth.tokens":                   "Bearer tokens by their hash: [{name: pbx, roles: [ingest], sha256: ...}]. Roles: ingest, viewer, reviewer, admin.",
	"auth.session":                  "Sessions of the page, which begin with a token or with single sign-on.",
	"auth.session.idle":             "Who does nothing for so long is signed out.",
	"auth.session.max":              "Nobody stays signed in for longer.",
	"auth.trusted_proxies":          "Addresses of proxies in front of callscreen, as networks: [10.0.0.0/24]. Their X-Forwarded-For, X-Forwarded-Proto and, if set below, their word on who somebody is are believed; those of others never are.",
	"auth.groups":                   "What the members of groups may do who come by single sign-on or by a proxy: [{group: fraud, roles: [reviewer]}].",
	"auth.proxy":                    "A proxy that has signed people in already, and is among trusted_proxies.",
	"auth.proxy.user_header":        "Header in which it says who somebody is, such as X-Forwarded-User. It must remove that header from what it is sent. Empty: off.",
	"auth.proxy.groups_header":      "Header with the groups, separated by commas.",
	"auth.proxy.roles":              "Roles of everybody who comes this way, besides those of their groups.",
	"auth.oidc":                     "Single sign-on by OpenID Connect (code flow with PKCE). The client secret comes from the environment variable CALLSCREEN_OIDC_CLIENT_SECRET or from client_secret_file; a public client has none.",
	"auth.oidc.issuer":              "Address of the provider: https://login.example.com/realms/main. Empty: off.",
	"auth.oidc.client_id":           "Name under which the provider knows callscreen.",
	"auth.oidc.client_secret_file":  "File that holds the client secret and nothing else.",
	"auth.oidc.redirect_url":        "Where the provider sends people back to: https://HOST/login/oidc/callback.",
	"auth.oidc.scopes":              "What the provider is asked for. Some need groups here.",
	"auth.oidc.name_claim":          "Claim under whose value people appear in the audit. It must not be one that they can change themselves.",
	"auth.oidc.groups_claim":        "Claim that lists the groups.",
	"auth.oidc.roles":               "Roles of everybody who comes this way, besides those of their groups.",
	"auth.jwt":                      "Signed tokens (RFC 7519) for those who send calls, besides fixed ones. They need exp and sub, which is the name for limits; if they have the claims call and leg, they are good for that call and leg only: to send it, and to pause, resume or stop it. The secret of HS256 comes from the environment variable CALLSCREEN_JWT_SECRET or from secret_file.",
	"auth.jwt.secret_file":          "File that holds the secret of HS256, 32 bytes at least, and nothing else.",
	"auth.jwt.jwks":                 "Public keys of RS256, PS256, ES256, ES384 or EdDSA: a file, or an https address that is asked again every ten minutes.",
	"auth.jwt.issuer":               "What iss must be. Needed with jwks.",
	"auth.jwt.audience":             "What must be in aud. Needed with jwks.",
	"auth.jwt.leeway":               "By how much clocks may differ.",
	"log":                           "What serve says on standard error. No line holds the metadata of a call, or audio.",
	"log.level":                     "debug, info, warn or error. PUT /api/v1/log-level changes it while the program runs; --verbose is debug.",
	"trace":                         "Spans of OpenTelemetry: what is done about each call, and how long it takes. Headers for the collector come from OTEL_EXPORTER_OTLP_HEADERS.",
	"trace.endpoint":                "Collector of OTLP over HTTP: http://127.0.0.1:4318. Empty: off.",
	"log.format":                    "text or json. --log-format wins.",
}
