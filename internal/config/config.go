// Package config loads and validates the configuration of the program. One struct is filled from the defaults, the
// file, the environment and the flags, in this order, and then validated as a whole.
package config

import (
	"time"

	"callscreen/capture"
	"callscreen/policy"
)

// Config holds all settings. The yaml tags are the names of the keys in the file. The environment variable of a key is
// CALLSCREEN_ and its path in capitals, joined by underscores.
type Config struct {
	Listen              string        `yaml:"listen"`
	AdminListen         string        `yaml:"admin_listen"`
	HealthListen        string        `yaml:"health_listen"`
	TLS                 TLS           `yaml:"tls"`
	WebRTC              WebRTC        `yaml:"webrtc"`
	DataDir             string        `yaml:"data_dir"`
	Database            Secret        `yaml:"database"`
	DatabaseConnections int           `yaml:"database_connections"`
	Audio               string        `yaml:"audio"`
	AudioKeyFile        string        `yaml:"audio_key_file"`
	AudioKey            Secret        `yaml:"-"` // CALLSCREEN_AUDIO_KEY, or the content of AudioKeyFile
	Analysis            Analysis      `yaml:"analysis"`
	Segment             Segment       `yaml:"segment"`
	Spool               Spool         `yaml:"spool"`
	Policy              policy.Policy `yaml:"policy"`
	Retention           Retention     `yaml:"retention"`
	Webhooks            []Webhook     `yaml:"webhooks"`
	WebhookAllow        []string      `yaml:"webhook_allow"`
	Auth                Auth          `yaml:"auth"`
	AuditKeyFile        string        `yaml:"audit_key_file"`
	AuditKey            Secret        `yaml:"-"` // CALLSCREEN_AUDIT_KEY, or the content of AuditKeyFile
	Log                 Log           `yaml:"log"`
	Trace               Trace         `yaml:"trace"`
}

// WebRTC configures live audio.
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

// Analysis configures the client of the analysis API.
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

// Segment configures how a leg is cut into segments.
type Segment struct {
	FirstSpeech  time.Duration `yaml:"first_speech"`
	TargetSpeech time.Duration `yaml:"target_speech"`
	MinSpeech    time.Duration `yaml:"min_speech"`
	MaxDuration  time.Duration `yaml:"max_duration"`
	SampleRate   int           `yaml:"sample_rate"`
}

// Segmenter returns the configuration in the form of package capture.
func (s Segment) Segmenter() capture.SegmenterConfig {
	return capture.SegmenterConfig{
		Rate:         s.SampleRate,
		FirstSpeech:  s.FirstSpeech,
		TargetSpeech: s.TargetSpeech,
		MinSpeech:    s.MinSpeech,
		MaxDuration:  s.MaxDuration,
	}
}

// Spool limits the disk space of recordings that are not yet in the database and the audio store. Sizes are in MB of
// 1,000,000 bytes.
type Spool struct {
	MinFreeMB int64         `yaml:"min_free_mb"`
	MaxMB     int64         `yaml:"max_mb"`
	MaxAge    time.Duration `yaml:"max_age"`
	Keep      time.Duration `yaml:"keep"`
}

// Webhook is one webhook endpoint.
type Webhook struct {
	Name        string   `yaml:"name"`
	URL         string   `yaml:"url"`
	Events      []string `yaml:"events"`
	SecretFiles []string `yaml:"secret_files"`
}

// Retention limits how long audio is kept, by the outcome of its call, and how long all other records are kept.
type Retention struct {
	Clear        time.Duration `yaml:"clear"`
	Flagged      time.Duration `yaml:"flagged"`
	Inconclusive time.Duration `yaml:"inconclusive"`
	Records      time.Duration `yaml:"records"`
}

// Auth configures authentication and roles.
type Auth struct {
	Tokens         []Token  `yaml:"tokens"`
	Session        Session  `yaml:"session"`
	TrustedProxies []string `yaml:"trusted_proxies"`
	Groups         []Group  `yaml:"groups"`
	Proxy          Proxy    `yaml:"proxy"`
	OIDC           OIDC     `yaml:"oidc"`
	JWT            JWT      `yaml:"jwt"`
}

// Session limits the sessions of the review page.
type Session struct {
	Idle time.Duration `yaml:"idle"`
	Max  time.Duration `yaml:"max"`
}

// Group maps a user group of the single sign-on or the proxy to roles.
type Group struct {
	Group string   `yaml:"group"`
	Roles []string `yaml:"roles"`
}

// Proxy configures a reverse proxy that authenticates users.
type Proxy struct {
	UserHeader   string   `yaml:"user_header"`
	GroupsHeader string   `yaml:"groups_header"`
	Roles        []string `yaml:"roles"`
}

// OIDC configures single sign-on by OpenID Connect.
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

// Token is a bearer token. Only its hash is stored.
type Token struct {
	Name   string   `yaml:"name"`
	Roles  []string `yaml:"roles"`
	SHA256 string   `yaml:"sha256"`
}

// Default returns the default configuration.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		WebRTC: WebRTC{
			UDPPort:           8988,
			TCPPort:           8988,
			MaxSessions:       1000,
			RequestsPerSecond: 50,
			Idle:              10 * time.Minute,
			Grace:             time.Minute,
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
