-- +goose Up
-- instance is the process that holds the name of the node, '' after a clean stop. Each process and each take-over counts
-- generation up, so that a process that was taken for dead cannot write any more. origin names the data_dir of the process.
ALTER TABLE node ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
-- The identity of the audio store that the nodes share, which is in a marker there too: one row.
CREATE TABLE audio_store (
  id       INTEGER PRIMARY KEY,
  identity TEXT NOT NULL
);
