-- +goose Up
-- The index has every column that the counts of the lists look at: calls have grown by their ledgers.
DROP INDEX call_decision;
CREATE INDEX call_decision ON call (decision, started_ms, id, final);
