package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"callscreen/encode"
	"callscreen/internal/address"
	"callscreen/internal/anchor"
	"callscreen/internal/hook/event"
	"callscreen/internal/seal"
)

// Validate returns all problems of the values, as Problems, or nil.
func (c Config) Validate() error {
	var ps Problems
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		ps.add("listen", "write host:port, such as 127.0.0.1:8080 or :8080", "%q is not an address", c.Listen)
	}
	for path, port := range map[string]int{"webrtc.udp_port": c.WebRTC.UDPPort, "webrtc.tcp_port": c.WebRTC.TCPPort} {
		if port < 0 || port > 65535 {
			ps.add(path, "write 1 to 65535, or see callscreen config describe for 0", "is %d", port)
		}
	}
	for path, n := range map[string]int{
		"webrtc.max_sessions": c.WebRTC.MaxSessions,
	} {
		if n < 1 {
			ps.add(path, "1000 is usual", "is %d, must be at least 1", n)
		}
	}
	for path, d := range map[string]time.Duration{"webrtc.idle": c.WebRTC.Idle, "webrtc.grace": c.WebRTC.Grace} {
		if d <= 0 {
			ps.add(path, "see callscreen config describe", "is %v, must be positive", d)
		}
	}
	for _, ip := range c.WebRTC.PublicIPs {
		if net.ParseIP(ip) == nil {
			ps.add("webrtc.public_ips", "write IP addresses, not host names", "%q is not an IP address", ip)
		}
	}
	c.WebRTC.validateICE(&ps)
	if c.DataDir == "" {
		ps.add("data_dir", "set a directory, such as ./data", "is empty")
	}
	if d := c.Database.Reveal(); d != "" && !strings.HasPrefix(d, "postgres://") && !strings.HasPrefix(d, "postgresql://") {
		ps.add("database", "write postgres://user@host/name, or leave it empty for SQLite", "is not a PostgreSQL URL")
	}
	if c.Audio != "" && !strings.HasPrefix(c.Audio, "s3://") && !filepath.IsAbs(c.Audio) {
		shown := c.Audio
		if strings.Contains(shown, "://") {
			shown = address.Redact(shown)
		}
		ps.add(
			"audio",
			"write s3://bucket/prefix or the absolute path of a directory, or leave it empty for a directory in data_dir",
			"%q is neither an S3 URL nor an absolute path",
			shown,
		)
	}
	if c.AudioKey != "" {
		if _, err := seal.Parse(c.AudioKey.Reveal()); err != nil {
			ps.add("audio_key_file", "callscreen keygen > audio.key", "%s", err.Error())
		}
	}
	if c.AuditKey != "" {
		if _, err := anchor.ParseSigner(c.AuditKey.Reveal()); err != nil {
			ps.add("audit_key_file", "callscreen audit keygen bank.example audit.key", "%s", err.Error())
		}
	}
	if n := c.DatabaseConnections; n != 0 && n < leastConnections {
		ps.add("database_connections", "0 chooses by analysis.max_in_flight", "is %d, must be 0 or at least %d", n, leastConnections)
	}
	c.validateAnalysis(&ps)
	c.validateSegment(&ps)
	split(&ps, "policy", "see callscreen config describe", c.Policy.Validate())
	for path, d := range map[string]int64{
		"clear":        int64(c.Retention.Clear),
		"flagged":      int64(c.Retention.Flagged),
		"inconclusive": int64(c.Retention.Inconclusive),
	} {
		if d < 0 {
			ps.add("retention."+path, "0s deletes audio at once", "must not be negative")
		}
	}
	if d := c.Retention.Records; d != 0 && d < 24*time.Hour {
		ps.add("retention.records", "write 2160h for 90 days, or 0s to keep records until they are erased", "is less than 24h")
	}
	for path, n := range map[string]int64{
		"min_free_mb": c.Spool.MinFreeMB,
		"max_mb":      c.Spool.MaxMB,
		"max_age":     int64(c.Spool.MaxAge),
	} {
		if n < 0 {
			ps.add("spool."+path, "0 means no limit", "must not be negative")
		}
	}
	if k := c.Spool.Keep; k < 0 || k > longestKeep {
		ps.add("spool.keep", "write 5m, or 0s", "is not within 0s and 1h")
	}
	c.validateWebhooks(&ps)
	c.Auth.validate(&ps)
	c.validateListeners(&ps)
	c.Log.validate(&ps)
	c.Trace.validate(&ps)
	slices.SortStableFunc(ps, func(a, b Problem) int { return strings.Compare(section(a.Path), section(b.Path)) })
	return ps.err()
}

// longestKeep bounds how long data of a call that was erased may stay in the spool.
const longestKeep = time.Hour

// leastConnections lets heartbeats, deliveries and the job queue go on beside each other.
const leastConnections = 5

func section(path string) string {
	s, _, _ := strings.Cut(path, ".")
	return s
}

func (c Config) validateAnalysis(ps *Problems) {
	a := c.Analysis
	u, err := url.Parse(a.BaseURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		ps.add("analysis.base_url", "write https://api.dataspike.io", "%q is not an http or https URL", address.Redact(a.BaseURL))
	case u.User != nil:
		ps.add("analysis.base_url", "set the key in DATASPIKE_API_KEY", "must not contain credentials")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		ps.add("analysis.base_url", "write https://", "would send the key and the audio unencrypted to %s", u.Host)
	}
	if a.PollInitial <= 0 {
		ps.add("analysis.poll_initial", "the API advises 1s to 3s", "is %v, must be positive", a.PollInitial)
	}
	if a.PollMax < a.PollInitial {
		ps.add("analysis.poll_max", "the API advises 1s to 3s", "is %v, less than poll_initial %v", a.PollMax, a.PollInitial)
	}
	if a.Deadline <= a.PollInitial {
		ps.add("analysis.deadline", "2m is usual", "is %v, must be longer than poll_initial %v", a.Deadline, a.PollInitial)
	}
	if a.MaxAge < time.Minute {
		ps.add("analysis.max_age", "24h is usual", "is %v, must be at least 1m", a.MaxAge)
	}
	if a.MaxInFlight < 1 {
		ps.add("analysis.max_in_flight", "16 is usual", "is %d, must be at least 1", a.MaxInFlight)
	}
	if a.EnoughSpeech != 0 && a.EnoughSpeech < max(c.Policy.MinSpeech, time.Second) {
		ps.add(
			"analysis.enough_speech",
			"write 60s, or 0s to analyse all speech",
			"is %v, less than policy.min_speech %v: no leg could be clear",
			a.EnoughSpeech,
			c.Policy.MinSpeech,
		)
	}
	if a.Recheck < time.Second {
		ps.add("analysis.recheck", "1m is usual", "is %v, must be at least 1s", a.Recheck)
	}
	if !(a.RatePerSecond > 0) {
		ps.add("analysis.rate_per_second", "5 is usual", "is %v, must be positive", a.RatePerSecond)
	}
}

func (c Config) validateWebhooks(ps *Problems) {
	seen := map[string]bool{}
	for i, w := range c.Webhooks {
		path := fmt.Sprintf("webhooks[%d]", i)
		if w.Name == "" || seen[w.Name] {
			ps.add(path+".name", "give each endpoint a unique name and keep it: deliveries are stored under it", "is empty or not unique")
		}
		seen[w.Name] = true
		u, err := url.Parse(w.URL)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			ps.add(path+".url", "write https://host/path", "%q is not an http or https URL", address.Redact(w.URL))
		case u.User != nil:
			ps.add(path+".url", "messages are signed with the secret of secret_files", "must not contain credentials")
		case u.Scheme == "http" && !loopback(u.Hostname()):
			ps.add(path+".url", "write https://", "would send call data unencrypted to %s", u.Host)
		}
		if len(w.Events) == 0 {
			ps.add(path+".events", "events are "+strings.Join(event.All(), ", "), "is empty")
		}
		for _, e := range w.Events {
			if !slices.Contains(event.All(), e) {
				ps.add(path+".events", "events are "+strings.Join(event.All(), ", "), "%q is not an event", e)
			}
		}
		if len(w.SecretFiles) == 0 {
			ps.add(path+".secret_files", "make one with: echo whsec_$(head -c 32 /dev/urandom | base64) > hook.secret", "is empty")
		}
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) validateSegment(ps *Problems) {
	s := c.Segment
	if s.SampleRate != 8000 && s.SampleRate != 16000 {
		ps.add("segment.sample_rate", "speech detection runs at 8000 or 16000", "is %d Hz", s.SampleRate)
		return
	}
	for path, d := range map[string]int64{
		"first_speech":  int64(s.FirstSpeech),
		"target_speech": int64(s.TargetSpeech),
		"min_speech":    int64(s.MinSpeech),
		"max_duration":  int64(s.MaxDuration),
	} {
		if d <= 0 {
			ps.add("segment."+path, "see callscreen config describe", "must be positive")
		}
	}
	split(ps, "segment", "see callscreen config describe", s.Segmenter().Validate())
	if fit := encode.Fit(s.SampleRate); s.MaxDuration.Seconds()*float64(s.SampleRate) > float64(fit) {
		ps.add(
			"segment.max_duration",
			"the API takes files under 10 MB",
			"is %v, must be at most %d s at %d Hz",
			s.MaxDuration,
			fit/s.SampleRate,
			s.SampleRate,
		)
	}
}

// split adds each line of err as a problem. Each line begins with the path of a key within the section.
func split(ps *Problems, section, hint string, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		key, message, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			key, message = "", key
		}
		ps.add(strings.Trim(section+"."+key, "."), hint, "%s", message)
	}
}
