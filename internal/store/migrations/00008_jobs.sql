-- +goose Up
-- A job of the API is that of one recording. shared_job is a job that the API gave to this segment and to another one: it is that of
-- none. The indexes find other segments with a job.
ALTER TABLE segment ADD COLUMN shared_job TEXT NOT NULL DEFAULT '';
CREATE INDEX segment_job ON segment (job_id) WHERE job_id <> '';
CREATE INDEX segment_shared_job ON segment (shared_job) WHERE shared_job <> '';
