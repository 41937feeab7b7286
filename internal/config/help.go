package config

// help holds one entry for each key of the configuration. [Describe] prints it as the reference.
var help = map[string]string{
	"listen": "Address of the HTTP server: WHIP, API, review page, metrics. An address other than loopback " +
		"requires authentication.",
	"admin_listen": "Second address, such as 127.0.0.1:8081, for /metrics and the API of the role admin (webhooks, " +
		"erasing calls). Those are then not served at listen. An address other than loopback requires " +
		"authentication. Empty: everything is served at listen.",
	"health_listen": "Address, such as 127.0.0.1:8082, for /metrics, /healthz and /readyz alone, which then answer also while the other " +
		"addresses have as many connections as they take. /metrics is then not served elsewhere. Empty: they are served at listen and " +
		"admin_listen.",
	"tls": "HTTPS at listen, admin_listen and health_listen. Changed files are reloaded. If the new pair is invalid, the " +
		"error is logged and the old pair stays in use.",
	"tls.cert_file":   "Certificate chain without the root, as PEM. Empty: plain HTTP.",
	"tls.key_file":    "Private key of the certificate, as PEM.",
	"webrtc":          "Live audio in.",
	"webrtc.udp_port": "UDP port for all media. 0: any free port.",
	"webrtc.tcp_port": "TCP port for all media, for senders behind a firewall. 0: no TCP.",
	"webrtc.public_ips": "Addresses to offer to senders instead of the local one: [203.0.113.7]. For NAT that keeps port " +
		"numbers.",
	"webrtc.ice_lite": "Use ICE-lite. For a machine with a public address.",
	"webrtc.ice_servers": "STUN and TURN servers: ['stun:stun.example.com:3478', 'turn:turn.example.com:3478?transport=tcp']. " +
		"Senders receive this list too.",
	"webrtc.turn_username": "User name at the TURN servers; the secret is its password. Empty: the secret is the shared secret " +
		"of the TURN servers (coturn: use-auth-secret), and each session gets temporary credentials, valid " +
		"for 12h. Senders with a token for ingest receive the credentials.",
	"webrtc.turn_secret_file": "File that contains only the secret or password of the TURN servers. Alternative: environment " +
		"variable CALLSCREEN_TURN_SECRET.",
	"webrtc.prefer_red":           "Ask senders for redundant audio (RFC 2198): twice the bitrate, far fewer losses.",
	"webrtc.origins":              "Origins of web pages that may send calls: [https://softphone.example.com].",
	"webrtc.strict_preconditions": "Require If-Match in every PATCH request, as RFC 9725 specifies. Many clients omit it.",
	"webrtc.max_sessions":         "Maximum number of concurrent legs. Further legs are refused with Retry-After.",
	"webrtc.max_sessions_per_token": "Maximum number of concurrent legs per token. 0: four fifths of max_sessions, so that one token " +
		"cannot take the sessions of all others. A signed token for one call and leg has one session, and another to take over from it.",
	"webrtc.requests_per_second": "WHIP requests per second and client address; bursts of ten times as many are accepted. Requests to " +
		"an open session do not count.",
	"webrtc.whep_allow": "Hosts and networks that legs may be pulled from by WHEP, in the form of webhook_allow. Empty: any " +
		"address that a client with the role ingest requests.",
	"webrtc.idle":  "A leg that sends no packet for this long is closed.",
	"webrtc.grace": "How long a call stays open after a leg lost its connection. At most 10 s if no packet has arrived.",
	"data_dir":     "Directory of the database, the spool and the audio.",
	"database": "postgres://... stores the tables in PostgreSQL, which several nodes can share. Empty: SQLite in " +
		"data_dir.",
	"database_connections": "Maximum number of connections of this node to PostgreSQL. max_connections of the server must be " +
		"larger than the sum over all nodes. 0: 20, and one for each of analysis.max_in_flight.",
	"audio": "Audio store: s3://bucket/prefix?endpoint=https://host for an S3-compatible store, or the absolute " +
		"path of a directory that all nodes share. Empty: a directory in data_dir, which only this node can " +
		"read.",
	"audio_key_file": "File of keys, one a line, made by callscreen keygen. Audio is encrypted before it is written to " +
		"disk: with the first key. All keys decrypt. Alternative: environment variable " +
		"CALLSCREEN_AUDIO_KEY. Empty: audio is not encrypted.",
	"audit_key_file": "File with the key that signs the heads of the audit log, made by callscreen audit keygen. Alternative: " +
		"environment variable CALLSCREEN_AUDIT_KEY. Empty: heads are not signed.",
	"analysis": "The analysis API. The API key comes from the environment variable DATASPIKE_API_KEY or from " +
		"api_key_file.",
	"analysis.base_url":     "Base URL of the API. https://sandboxapi.dataspike.io is the vendor's sandbox.",
	"analysis.api_key_file": "File that contains only the API key.",
	"analysis.poll_initial": "Minimum delay before the first poll of a job, and between two polls. Later delays grow exponentially, with " +
		"jitter, up to poll_max. After 20 jobs the polls come when a job is likely to be done, by the times of the last 256 jobs.",
	"analysis.poll_max": "Maximum delay between two polls of a job.",
	"analysis.deadline": "A job that is not done after this time counts as failed (timeout). serve counts the time in which the API " +
		"answers about the job, so that an outage ends no job. replay counts all time, and gives the upload the same limit.",
	"analysis.max_age": "A segment that could not be submitted for this long, or whose upload or job has had no answer until then, " +
		"counts as failed (timeout, in_doubt).",
	"analysis.max_in_flight":   "Maximum number of segments that this node analyses concurrently.",
	"analysis.rate_per_second": "Maximum number of submissions per second, over all nodes that share a database.",
	"analysis.resend_in_doubt": "Submit a segment a second time if the API may have accepted the upload without a definite answer: the " +
		"connection was lost, a gateway answered 502 or 504, or the answer made no sense. It is sent again when the API answers, " +
		"at most once, and may then be charged twice. false: such a segment is not sent again. It waits for a person until " +
		"max_age, and its call is inconclusive.",
	"analysis.retry_cleaned": "Retry a failed job once with a cleaned copy (trimmed to speech, level adjusted) if the audio may " +
		"have caused the failure.",
	"analysis.enough_speech": "Net speech of a leg that is analysed without gaps. After that, while its last score is below " +
		"policy.clear_below, only one segment per recheck interval is analysed. The others are skipped " +
		"(sampled) and not charged. Such a call can only be clear if policy.min_coverage permits it. 0s: " +
		"all speech is analysed. Recorded files are always analysed completely.",
	"analysis.recheck":      "Interval between analysed segments of a leg after enough_speech is reached.",
	"segment":               "How a leg is cut into segments. Speech is counted without pauses.",
	"segment.first_speech":  "Net speech of the first segment of a leg. A small value gives an early score.",
	"segment.target_speech": "Net speech of every other segment.",
	"segment.min_speech":    "A segment with less net speech is skipped and not charged.",
	"segment.max_duration":  "Maximum length of a segment, pauses included.",
	"segment.sample_rate":   "Sample rate of the WAV files in Hz: 8000 or 16000.",
	"spool": "Local spool in data_dir. It holds recorded segments until the database and the audio store have " +
		"accepted them.",
	"spool.min_free_mb": "Recording stops if less disk space than this is free, so that the database can still write.",
	"spool.max_mb": "Recording stops if the spool is larger than this. The spool only grows while its segments cannot " +
		"be delivered.",
	"spool.max_age": "Audio that could not be delivered for this long is deleted, and its segment counts as failed " +
		"(storage). 0s: never.",
	"spool.keep": "Delivered segments are noted in the spool for this long and stored again if a fail-over of PostgreSQL has " +
		"lost them. Choose more than the delay of an asynchronous replica and the time of a fail-over. 0s: never, for synchronous " +
		"replication.",
	"policy":             "Rules that turn the scores of a call into a decision.",
	"policy.threshold":   "A score must be strictly greater than this to count as exceeding it.",
	"policy.need":        "Number of scores of a leg that must exceed the threshold to flag the call.",
	"policy.of":          "Number of consecutive segments within which those scores must lie. 0: anywhere in the call.",
	"policy.clear_below": "A score below this value ends the suspicion that a score above the threshold raised.",
	"policy.min_speech":  "Net speech of a leg that must be analysed before the leg can be clear.",
	"policy.min_coverage": "Share of a leg's net speech that must be analysed before the leg can be clear. Speech of at most " +
		"max_unheard.seconds may be left out whatever its share.",
	"policy.ignore_below": "A leg with less net speech than this does not count as speaking and does not affect the call.",
	"policy.on_unscreened": "Treatment of a call that could not be screened completely: review, or clear if enough of it was " +
		"analysed.",
	"policy.require_legs": "Legs that must be heard: [caller]. A call without speech of one of them is inconclusive. Legs that " +
		"were announced must be received in any case.",
	"policy.max_unheard": "Audio of a leg that may stay unheard, whichever of the two is more: audio that arrived and was not " +
		"recorded, that stands in a file and was not read, and speech that was not analysed.",
	"policy.max_unheard.seconds": "Length of it.",
	"policy.max_unheard.share":   "Share of the leg.",
	"policy.max_lost":            "Share of a leg that may be lost on the network before the leg is inconclusive.",
	"policy.max_paused":          "Time that a leg may be paused before it is inconclusive.",
	"policy.overrides": "Different rules for a leg, or for calls with certain metadata: [{leg: caller, metadata: {queue: " +
		"payments}, threshold: 0.5}].",
	"retention": "How long audio is kept after the end of the call, by outcome, and how long the other records are " +
		"kept.",
	"retention.clear":        "Audio of clear calls. 0s: deleted at once.",
	"retention.flagged":      "Audio of flagged calls.",
	"retention.inconclusive": "Audio of inconclusive calls.",
	"retention.records": "All other records: scores, decisions, metadata, reviews. Records of calls that wait for review or " +
		"still have audio are kept longer. At least 24h. 0s: until they are erased.",
	"webhooks": "Webhook endpoints: [{name: crm, url: https://crm.example.com/hook, events: [call.flagged], " +
		"secret_files: [hook.secret]}]. Events: call.flagged, call.cleared, call.inconclusive, " +
		"segment.scored, analysis.error, audit.head. Each file contains one whsec_ secret. With two secrets, messages " +
		"carry both signatures.",
	"webhook_allow": "Destinations that webhooks may be sent to: [crm.example.com, 10.1.0.0/16]. A host name permits " +
		"that host at public addresses, a network permits its addresses. The check happens when the " +
		"connection is made, after DNS resolution; no proxy is used. Empty: any configured URL.",
	"auth": "Authentication and roles. The simplest way is to set CALLSCREEN_INGEST_TOKEN, " +
		"CALLSCREEN_REVIEW_TOKEN and CALLSCREEN_ADMIN_TOKEN (or the same names with _FILE). A token " +
		"needs 128 random bits: openssl rand -hex 32.",
	"auth.tokens": "Bearer tokens, stored as hashes: [{name: pbx, roles: [ingest], sha256: ...}]. Roles: ingest, " +
		"viewer, reviewer, admin. The strength of a token cannot be checked by its hash: openssl rand -hex 32.",
	"auth.session":      "Sessions of the review page. A session starts with a token or with single sign-on.",
	"auth.session.idle": "A session without requests for this long ends.",
	"auth.session.max":  "Maximum length of a session.",
	"auth.trusted_proxies": "Networks of the proxies in front of callscreen: [10.0.0.0/24]. Only these may set X-Forwarded-For, " +
		"X-Forwarded-Proto and the user headers of auth.proxy; the headers are ignored from all other " +
		"addresses.",
	"auth.groups": "Roles of user groups from single sign-on or a proxy: [{group: fraud, roles: [reviewer]}]. " +
		"A reload changes the roles of users who are signed in.",
	"auth.proxy": "A proxy that authenticates users. It must be in trusted_proxies.",
	"auth.proxy.user_header": "Header that carries the user name, such as X-Forwarded-User. The proxy must remove this header " +
		"from incoming requests. Empty: off.",
	"auth.proxy.groups_header": "Header that carries the user's groups, separated by commas.",
	"auth.proxy.roles":         "Roles of every user who is authenticated by the proxy, in addition to the roles of their groups.",
	"auth.oidc": "Single sign-on by OpenID Connect (code flow with PKCE). The client secret comes from the " +
		"environment variable CALLSCREEN_OIDC_CLIENT_SECRET or from client_secret_file. A public client has " +
		"no secret.",
	"auth.oidc.issuer":             "Issuer URL of the provider: https://login.example.com/realms/main. Empty: off.",
	"auth.oidc.client_id":          "Client ID of callscreen at the provider.",
	"auth.oidc.client_secret_file": "File that contains only the client secret.",
	"auth.oidc.redirect_url":       "Redirect URL registered at the provider: https://HOST/login/oidc/callback.",
	"auth.oidc.scopes":             "Scopes to request. Some providers need the scope groups.",
	"auth.oidc.name_claim":         "Claim that names the user in the audit log. Users must not be able to change it themselves.",
	"auth.oidc.groups_claim":       "Claim that lists the user's groups. With email, the claim email_verified must be true.",
	"auth.oidc.roles":              "Roles of every user who signs in this way, in addition to the roles of their groups.",
	"auth.jwt": "Signed tokens (RFC 7519) for senders of calls, in addition to fixed tokens. The claims exp and sub " +
		"are required; limits are counted per sub. A token with the claims call and leg is valid for that " +
		"leg only: to send, pause, resume or stop it. The HS256 secret comes from the environment variable " +
		"CALLSCREEN_JWT_SECRET or from secret_file.",
	"auth.jwt.secret_file": "File that contains only the HS256 secret, at least 32 bytes.",
	"auth.jwt.jwks": "Public keys for RS256, PS256, ES256, ES384 or EdDSA: a file, or an https URL that is fetched every " +
		"ten minutes. A token without kid is good if any key of its kind is.",
	"auth.jwt.issuer":   "Required value of the claim iss. Must be set with jwks.",
	"auth.jwt.audience": "Value that the claim aud must contain. Must be set with jwks.",
	"auth.jwt.leeway":   "Permitted clock difference.",
	"log":               "Log of serve on standard error. It never contains call metadata or audio.",
	"log.level":         "debug, info, warn or error. PUT /api/v1/log-level changes it at run time. --verbose means debug.",
	"log.format":        "text or json. The flag --log-format overrides it.",
	"trace": "OpenTelemetry spans of the processing of each call. Headers for the collector come from " +
		"OTEL_EXPORTER_OTLP_HEADERS.",
	"trace.endpoint": "OTLP collector over HTTP: http://127.0.0.1:4318. Empty: off.",
}
