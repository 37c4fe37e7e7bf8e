-- Attempts at one of several integrations, and what is needed to settle them.

ALTER TABLE attempts ADD COLUMN integration {id} NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN key text NOT NULL DEFAULT '';           -- by which the provider drops a repeat
ALTER TABLE attempts ADD COLUMN passed_on bigint NOT NULL DEFAULT 0;    -- 1: another integration was to take the delivery at once
ALTER TABLE attempts ADD COLUMN ask_at bigint;                          -- when the provider is asked what became of it
ALTER TABLE attempts ADD COLUMN asked bigint NOT NULL DEFAULT 0;        -- how often it was
CREATE INDEX attempts_provider_id ON attempts (provider_id) WHERE provider_id <> '';
CREATE INDEX attempts_ask ON attempts (ask_at) WHERE ask_at IS NOT NULL;

-- The report as it came, sealed because it may name a person; its keyed hash makes a report that is repeated the same one.
ALTER TABLE receipts ADD COLUMN raw text NOT NULL DEFAULT '';
ALTER TABLE receipts ADD COLUMN hash text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX receipts_once ON receipts (attempt, hash) WHERE hash <> '';
