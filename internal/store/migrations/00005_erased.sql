-- +goose Up
-- Tombstones: parts of a call that began at erased_ms or before are not stored again. A later call with the id is another call.
CREATE TABLE erased (
  call_id   TEXT PRIMARY KEY,
  erased_ms BIGINT NOT NULL
);
INSERT INTO erased (call_id, erased_ms) SELECT call_id, max(at_ms) FROM audit WHERE what = 'call.erased' GROUP BY call_id;

-- Audio of erased calls on nodes that were gone. The node deletes it when it is back.
CREATE TABLE erased_audio (
  segment_id TEXT PRIMARY KEY,
  call_id    TEXT NOT NULL,
  node       TEXT NOT NULL,
  audio_key  TEXT NOT NULL,
  erased_ms  BIGINT NOT NULL
);
CREATE INDEX erased_audio_node ON erased_audio (node, segment_id);
-- The audio of each node, to find that of nodes that are gone.
CREATE INDEX segment_audio ON segment (audio_node, id, recorded_ms) WHERE audio_key <> '';
