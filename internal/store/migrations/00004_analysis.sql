-- +goose Up
-- The time during which the API answered about the job of a segment, and the last part of it in which the answers contradicted
-- the course of a job: unknown, or completed without a score.
ALTER TABLE segment ADD COLUMN answered_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE segment ADD COLUMN odd_ms BIGINT NOT NULL DEFAULT 0;
