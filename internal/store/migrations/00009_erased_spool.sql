-- +goose Up
-- Legs of erased calls that other nodes have recorded. Each of these nodes deletes what its spool has left of them, and the row.
CREATE TABLE erased_spool (
  call_id   TEXT NOT NULL,
  node      TEXT NOT NULL,
  part      BIGINT NOT NULL,
  leg       TEXT NOT NULL,
  segments  BIGINT NOT NULL,
  erased_ms BIGINT NOT NULL,
  PRIMARY KEY (node, call_id, part, leg)
);
