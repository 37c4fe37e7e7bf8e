-- What is due, and what was lost, is looked for lane by lane: a code that may be used for a minute does not wait behind a night's campaign.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (lane, due_at) WHERE due_at IS NOT NULL;
DROP INDEX segments_open;
CREATE INDEX segments_open ON segments (lane, touched_at) WHERE finished_at IS NULL;

-- A delivery that expired between being read and its attempt stayed queued, and nobody looked at it again: those that are left.
UPDATE deliveries SET state = 'expired', reason = 'expired', changed_at = now_us()
WHERE state = 'queued' AND due_at IS NULL AND expires_at < now_us() - 3600000000;
