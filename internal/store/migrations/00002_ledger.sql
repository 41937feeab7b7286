-- +goose Up
-- The ledger of a leg. The columns are the times that the policy reads; ledger is all of it as JSON, '' for a leg that was
-- recorded by an earlier version, whose ledger is not known. unheard is a JSON object of milliseconds by reason, or ''.
ALTER TABLE leg ADD COLUMN recorded_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN noise_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN paused_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leg ADD COLUMN unheard TEXT NOT NULL DEFAULT '';
ALTER TABLE leg ADD COLUMN ledger TEXT NOT NULL DEFAULT '';
-- The metadata that the senders of a leg announced, as JSON. A bound sender may announce it for its own leg only.
ALTER TABLE leg ADD COLUMN metadata TEXT NOT NULL DEFAULT '';
ALTER TABLE leg ADD COLUMN bound INTEGER NOT NULL DEFAULT 0;
-- Places of the pieces of a packed segment, as JSON.
ALTER TABLE segment ADD COLUMN pieces TEXT NOT NULL DEFAULT '';
-- A call id that is used again is a new call with the next number; its parts have that number too. carried is the outcome
-- of an earlier number that no person has closed.
ALTER TABLE call ADD COLUMN number INTEGER NOT NULL DEFAULT 1;
ALTER TABLE call ADD COLUMN carried TEXT NOT NULL DEFAULT '';
ALTER TABLE part ADD COLUMN number INTEGER NOT NULL DEFAULT 1;
-- The outcome that was announced before this one.
ALTER TABLE decision ADD COLUMN previous TEXT NOT NULL DEFAULT '';
-- The policy that a node decides by, 0 if it is not known.
ALTER TABLE node ADD COLUMN policy_version BIGINT NOT NULL DEFAULT 0;
