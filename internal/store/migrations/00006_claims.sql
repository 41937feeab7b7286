-- +goose Up
-- The node whose process makes the attempt under way, '' if none is under way. A restart and a take-over release the claims of
-- the earlier process.
ALTER TABLE webhook_delivery ADD COLUMN claimed_by TEXT NOT NULL DEFAULT '';
CREATE INDEX webhook_claimed ON webhook_delivery (claimed_by) WHERE state = 'pending' AND claimed_by <> '';
