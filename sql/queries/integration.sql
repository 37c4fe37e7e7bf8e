-- Integrations, what is seen of them, and the change of the key under which values are sealed.

-- name: integrations-version
SELECT value FROM counters WHERE name = 'integrations'

-- name: integrations-changed
UPDATE counters SET value = value + 1 WHERE name = 'integrations'

-- name: integrations
SELECT id, application, channel, provider, name, state, ord, weight, settings, secrets, rate, burst, parallel, changed_at
FROM integrations ORDER BY channel, application, ord, id

-- name: integration
SELECT id, application, channel, provider, name, state, ord, weight, settings, secrets, rate, burst, parallel, changed_at
FROM integrations WHERE id = $1

-- name: lock-integration
SELECT id, application, channel, provider, name, state, ord, weight, settings, secrets, rate, burst, parallel, changed_at
FROM integrations WHERE id = $1 {lock}

-- name: create-integration
INSERT INTO integrations (id, application, channel, provider, name, state, ord, weight, settings, secrets, rate, burst, parallel, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now_us(), now_us())

-- name: change-integration
UPDATE integrations SET application = $2, channel = $3, provider = $4, name = $5, state = $6, ord = $7, weight = $8, settings = $9,
    secrets = $10, rate = $11, burst = $12, parallel = $13, changed_at = now_us() WHERE id = $1

-- name: delete-integration
DELETE FROM integrations WHERE id = $1

-- name: put-health
INSERT INTO integration_health (integration, worker, minute, breaker, calls, accepted, refused, busy, unknown, p50, p99, error, at)
SELECT integration, worker, minute, breaker, calls, accepted, refused, busy, unknown, p50, p99, error, now_us()
FROM rows(integration text, worker text, minute bigint, breaker text, calls bigint, accepted bigint, refused bigint, busy bigint, unknown bigint, p50 bigint, p99 bigint, error text)
WHERE true
ON CONFLICT (integration, worker, minute) DO UPDATE SET breaker = excluded.breaker, calls = excluded.calls, accepted = excluded.accepted,
    refused = excluded.refused, busy = excluded.busy, unknown = excluded.unknown, p50 = excluded.p50, p99 = excluded.p99,
    error = excluded.error, at = excluded.at

-- name: forget-health
DELETE FROM integration_health WHERE minute < $1

-- name: health
SELECT integration, worker, minute, breaker, calls, accepted, refused, busy, unknown, p50, p99, error, at
FROM integration_health WHERE minute >= $1 ORDER BY at

-- name: stale-addresses
-- Those not sealed under the key whose values begin with $3.
SELECT user_id, channel, value FROM addresses
WHERE (user_id, channel) > ($1, $2) AND substr(value, 1, length(CAST($3 AS text))) <> CAST($3 AS text)
ORDER BY user_id, channel LIMIT $4

-- name: reseal-addresses
-- One that was changed meanwhile was sealed under the new key by whoever changed it.
UPDATE addresses SET value = rows.value, blind = rows.blind
FROM rows(user_id text, channel text, was text, value text, blind text)
WHERE addresses.user_id = rows.user_id AND addresses.channel = rows.channel AND addresses.value = rows.was

-- name: reseal-integration
UPDATE integrations SET secrets = $3 WHERE id = $1 AND secrets = $2

-- name: count-stale-addresses
SELECT count(*) FROM addresses WHERE substr(value, 1, length(CAST($1 AS text))) <> CAST($1 AS text)
