-- name: claim-keys
-- A second request of the same key waits here for the first one's commit, in whatever process that runs.
INSERT INTO idempotency_keys (application, key, hash, response, created_at)
SELECT application, key, hash, response, now_us()
FROM rows(application text, key text, hash text, response text) WHERE true
ON CONFLICT DO NOTHING RETURNING application, key

-- name: stored-answers
SELECT k.application, k.key, k.hash, k.response
FROM rows(application text, key text) JOIN idempotency_keys k ON k.application = rows.application AND k.key = rows.key

-- name: insert-batch
INSERT INTO batches (id, accepted, segments, created_at) VALUES ($1, $2, $3, now_us())

-- name: insert-messages
INSERT INTO messages (id, batch, application, type, lane, audience, data, channels, send_at, expires_at, collapse_key, cancellation_key, accepted_at)
SELECT id, batch, application, type, lane, audience, data, channels, send_at, expires_at, collapse_key, cancellation_key, accepted_at
FROM rows(id bigint, batch bigint, application text, type text, lane text, audience text, data text, channels text,
    send_at bigint, expires_at bigint, collapse_key text, cancellation_key text, accepted_at bigint)

-- name: insert-segments
INSERT INTO segments (id, parent, batch, lane, application, stage, channel, part, size, broadcast, touched_at, items)
SELECT id, parent, batch, lane, application, stage, channel, part, size, broadcast, now_us(), items
FROM rows(id bigint, parent bigint, batch bigint, lane text, application text, stage text, channel text, part bigint, size bigint, broadcast bigint, items text)

-- name: forget-keys
DELETE FROM idempotency_keys WHERE created_at < (SELECT now_us()) - $1
