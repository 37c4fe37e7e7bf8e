-- What applications see of their messages. $1 is the application, '' for admins: every one.
-- CROSS JOIN keeps SQLite from taking the table first and the rows again for each of its rows.

-- name: message
SELECT id, application, type, lane, channels, audience, data, send_at, expires_at, accepted_at, size, reason, canceled_at
FROM acquired WHERE id = $2 AND ($1 = '' OR application = $1)

-- name: messages-older
SELECT id, application, type, lane, channels, audience, data, send_at, expires_at, accepted_at, size, reason, canceled_at
FROM acquired WHERE ($1 = '' OR application = $1) AND ($2 = '' OR type = $2)
    AND accepted_at >= $3 AND (CAST($4 AS bigint) = 0 OR accepted_at < CAST($4 AS bigint)) AND id < $5
ORDER BY id DESC LIMIT $6

-- name: messages-newer
SELECT id, application, type, lane, channels, audience, data, send_at, expires_at, accepted_at, size, reason, canceled_at
FROM acquired WHERE ($1 = '' OR application = $1) AND ($2 = '' OR type = $2)
    AND accepted_at >= $3 AND (CAST($4 AS bigint) = 0 OR accepted_at < CAST($4 AS bigint)) AND id > $5
ORDER BY id LIMIT $6

-- name: message-counts
SELECT d.message_id, d.channel, d.state, count(*) AS n, count(d.due_at) AS due
FROM rows(message_id bigint) CROSS JOIN deliveries d WHERE d.message_id = rows.message_id
GROUP BY d.message_id, d.channel, d.state

-- name: delivery-users
SELECT DISTINCT user_id FROM deliveries WHERE message_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3

-- name: deliveries-of
SELECT d.user_id, d.channel, d.state, d.reason, d.decided, coalesce(d.due_at, 0) AS due_at, d.changed_at, coalesce(c.detail, '') AS detail
FROM rows(user_id text) CROSS JOIN deliveries d
LEFT JOIN contents c ON c.message_id = d.message_id AND c.channel = d.channel AND c.locale = d.locale
WHERE d.message_id = $1 AND d.user_id = rows.user_id
ORDER BY d.user_id, d.channel

-- name: attempts-of
SELECT t.id, t.user_id, t.channel, t.n, t.provider, t.integration, t.state, t.reason, t.detail, t.provider_id, t.parts, t.started_at, t.ended_at
FROM rows(user_id text) CROSS JOIN attempts t WHERE t.message_id = $1 AND t.user_id = rows.user_id
ORDER BY t.user_id, t.channel, t.n

-- name: receipts-of
SELECT r.attempt, r.kind, r.detail, r.received_at
FROM rows(attempt bigint) CROSS JOIN receipts r WHERE r.attempt = rows.attempt ORDER BY r.attempt, r.id

-- name: by-cancellation-key
SELECT id FROM messages WHERE application = $1 AND cancellation_key = $2 AND cancellation_key <> '' AND canceled_at = 0 ORDER BY id

-- name: cancel-messages
UPDATE messages SET canceled_at = now_us() FROM rows(id bigint) WHERE messages.id = rows.id AND messages.canceled_at = 0

-- name: cancel-deliveries
UPDATE deliveries SET state = 'canceled', reason = 'canceled', due_at = NULL, changed_at = now_us()
WHERE message_id IN (SELECT id FROM rows(id bigint)) AND state IN ('held', 'queued')
