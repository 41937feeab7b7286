-- The same statements for SQLite and PostgreSQL. All times are milliseconds since 1970, UTC; all durations are milliseconds.
-- +goose Up
CREATE TABLE call (
  id             TEXT PRIMARY KEY,
  started_ms     BIGINT NOT NULL,
  ended_ms       BIGINT NOT NULL DEFAULT 0,
  state          TEXT NOT NULL,
  metadata       TEXT NOT NULL,
  search         TEXT NOT NULL,
  simulated      INTEGER NOT NULL DEFAULT 0,
  decision       TEXT NOT NULL DEFAULT 'inconclusive',
  final          INTEGER NOT NULL DEFAULT 0,
  review         INTEGER NOT NULL DEFAULT 0,
  score          DOUBLE PRECISION,
  summary        TEXT NOT NULL DEFAULT '',
  decisions      INTEGER NOT NULL DEFAULT 0,
  published      TEXT NOT NULL DEFAULT '',
  policy_version BIGINT NOT NULL DEFAULT 0,
  decided_ms     BIGINT NOT NULL DEFAULT 0,
  audio_until_ms BIGINT,
  review_state   TEXT NOT NULL DEFAULT '' -- that of the review, so that one index serves the list of those who wait
);
-- Every column that lists are filtered by, so that a search over a month reads the index and not the calls.
CREATE INDEX call_started ON call (started_ms, id, decision, state, final, review_state, search);
CREATE INDEX call_decision ON call (decision, started_ms, id);
CREATE INDEX call_state ON call (state, started_ms, id);
CREATE INDEX call_review ON call (review_state, started_ms, id);
CREATE INDEX call_audio ON call (audio_until_ms) WHERE audio_until_ms IS NOT NULL;

-- A part is the recording of a call by one process. A call has several parts after an interruption, or if its legs
-- arrived at different nodes.
CREATE TABLE part (
  call_id    TEXT NOT NULL,
  part       BIGINT NOT NULL,
  node       TEXT NOT NULL,
  ended_ms   BIGINT NOT NULL DEFAULT 0,
  how        TEXT NOT NULL DEFAULT '',
  warnings   TEXT NOT NULL DEFAULT '[]',
  PRIMARY KEY (call_id, part, node)
);
CREATE INDEX part_open ON part (node) WHERE ended_ms = 0;

CREATE TABLE leg (
  call_id     TEXT NOT NULL,
  part        BIGINT NOT NULL,
  node        TEXT NOT NULL,
  leg         TEXT NOT NULL,
  duration_ms BIGINT NOT NULL,
  lost_ms     BIGINT NOT NULL,
  PRIMARY KEY (call_id, part, node, leg)
);

CREATE TABLE segment (
  id                TEXT PRIMARY KEY,
  call_id           TEXT NOT NULL,
  part              BIGINT NOT NULL,
  node              TEXT NOT NULL,
  leg               TEXT NOT NULL,
  seq               BIGINT NOT NULL,
  offset_ms         BIGINT NOT NULL,
  duration_ms       BIGINT NOT NULL,
  speech_ms         BIGINT NOT NULL,
  lost_ms           BIGINT NOT NULL,
  recorded_ms       BIGINT NOT NULL,
  state             TEXT NOT NULL,
  reason            TEXT NOT NULL DEFAULT '',
  detail            TEXT NOT NULL DEFAULT '',
  score             DOUBLE PRECISION,
  verdict           TEXT NOT NULL DEFAULT '',
  job_id            TEXT NOT NULL DEFAULT '',
  simulated         INTEGER NOT NULL DEFAULT 0,
  cleaned           INTEGER NOT NULL DEFAULT 0,
  audio_key         TEXT NOT NULL DEFAULT '',
  audio_node        TEXT NOT NULL DEFAULT '',
  audio_sha256      TEXT NOT NULL DEFAULT '',
  audio_bytes       BIGINT NOT NULL DEFAULT 0,
  audio_deleted_ms  BIGINT NOT NULL DEFAULT 0,
  rate              INTEGER NOT NULL,
  voiced            TEXT NOT NULL DEFAULT '[]',
  attempts          INTEGER NOT NULL DEFAULT 0,
  next_ms           BIGINT NOT NULL DEFAULT 0,
  submit_started_ms BIGINT NOT NULL DEFAULT 0,
  submitted_ms      BIGINT NOT NULL DEFAULT 0,
  resent            INTEGER NOT NULL DEFAULT 0,
  worker            TEXT NOT NULL DEFAULT '',
  alarm             BIGINT NOT NULL DEFAULT 0,
  settled_ms        BIGINT NOT NULL DEFAULT 0,
  UNIQUE (call_id, part, node, leg, seq)
);
CREATE INDEX segment_open ON segment (recorded_ms) WHERE state IN ('recorded', 'submitted');

CREATE TABLE decision (
  call_id        TEXT NOT NULL,
  seq            INTEGER NOT NULL,
  at_ms          BIGINT NOT NULL,
  outcome        TEXT NOT NULL,
  score          DOUBLE PRECISION,
  threshold      DOUBLE PRECISION NOT NULL,
  reasons        TEXT NOT NULL,
  policy_version BIGINT NOT NULL,
  PRIMARY KEY (call_id, seq)
);

CREATE TABLE review (
  call_id          TEXT PRIMARY KEY,
  opened_ms        BIGINT NOT NULL,
  state            TEXT NOT NULL,
  assignee         TEXT NOT NULL DEFAULT '',
  claimed_until_ms BIGINT NOT NULL DEFAULT 0,
  disposition      TEXT NOT NULL DEFAULT '',
  note             TEXT NOT NULL DEFAULT '',
  closed_ms        BIGINT NOT NULL DEFAULT 0,
  closed_by        TEXT NOT NULL DEFAULT '',
  version          INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX review_waiting ON review (state, opened_ms, call_id);

-- A disposition is one result of a review. The last one is stored in the review too.
CREATE TABLE disposition (
  call_id     TEXT NOT NULL,
  version     INTEGER NOT NULL,
  at_ms       BIGINT NOT NULL,
  who         TEXT NOT NULL,
  disposition TEXT NOT NULL,
  note        TEXT NOT NULL,
  PRIMARY KEY (call_id, version)
);

-- Sessions of signed-in users. The id itself is only in the cookie.
CREATE TABLE session (
  hash       TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  roles      TEXT NOT NULL,
  source     TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  seen_ms    BIGINT NOT NULL,
  expires_ms BIGINT NOT NULL
);

CREATE TABLE audit (
  seq            BIGINT PRIMARY KEY,
  at_ms          BIGINT NOT NULL,
  actor          TEXT NOT NULL,
  what           TEXT NOT NULL,
  call_id        TEXT NOT NULL,
  segment_id     TEXT NOT NULL,
  policy_version BIGINT NOT NULL,
  detail         TEXT NOT NULL,
  previous       TEXT NOT NULL,
  hash           TEXT NOT NULL
);
CREATE INDEX audit_call ON audit (call_id, seq);
CREATE TABLE audit_head (
  id   INTEGER PRIMARY KEY,
  seq  BIGINT NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');

CREATE TABLE policy (
  version    BIGINT PRIMARY KEY,
  sha256     TEXT NOT NULL UNIQUE,
  body       TEXT NOT NULL,
  created_ms BIGINT NOT NULL
);

CREATE TABLE webhook_message (
  id         TEXT PRIMARY KEY,
  event      TEXT NOT NULL,
  call_id    TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  body       TEXT NOT NULL
);
CREATE INDEX webhook_message_call ON webhook_message (call_id);
CREATE TABLE webhook_delivery (
  message_id   TEXT NOT NULL,
  endpoint     TEXT NOT NULL,
  state        TEXT NOT NULL,
  attempts     INTEGER NOT NULL DEFAULT 0,
  next_ms      BIGINT NOT NULL,
  first_ms     BIGINT NOT NULL,
  settled_ms   BIGINT NOT NULL DEFAULT 0,
  last_status  INTEGER NOT NULL DEFAULT 0,
  last_error   TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (message_id, endpoint)
);
CREATE INDEX webhook_due ON webhook_delivery (endpoint, next_ms) WHERE state = 'pending';
CREATE INDEX webhook_dead ON webhook_delivery (settled_ms) WHERE state = 'dead';
CREATE TABLE webhook_endpoint (
  name        TEXT PRIMARY KEY,
  disabled_ms BIGINT NOT NULL,
  reason      TEXT NOT NULL
);

CREATE TABLE limiter (
  name   TEXT PRIMARY KEY,
  tat_us BIGINT NOT NULL
);

CREATE TABLE node (
  id         TEXT PRIMARY KEY,
  started_ms BIGINT NOT NULL,
  seen_ms    BIGINT NOT NULL
);
