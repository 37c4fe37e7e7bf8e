-- Quotas of applications, and what was counted against them.

-- name: quotas
SELECT application, spec FROM quotas

-- name: quota
SELECT a.id AS application, coalesce(q.spec, '') AS spec FROM applications a LEFT JOIN quotas q ON q.application = a.id WHERE a.id = $1

-- name: put-quota
INSERT INTO quotas (application, spec, changed_at) VALUES ($1, $2, now_us())
ON CONFLICT (application) DO UPDATE SET spec = excluded.spec, changed_at = excluded.changed_at

-- name: drop-quota
DELETE FROM quotas WHERE application = $1

-- name: open-usage
INSERT INTO usage (application, period, channel)
SELECT application, period, channel FROM rows(application text, period text, channel text) WHERE true ON CONFLICT DO NOTHING

-- name: lock-usage
-- In this order, like every reader that locks several, so that two of them never wait for each other.
SELECT u.period, u.channel, u.deliveries, u.reserved, u.spent
FROM rows(application text, period text, channel text)
JOIN usage u ON u.application = rows.application AND u.period = rows.period AND u.channel = rows.channel
ORDER BY u.application, u.period, u.channel {lock u}

-- name: usage
SELECT period, channel, deliveries, reserved, spent, refunded FROM usage WHERE application = $1 AND period IN ($2, $3)

-- name: add-usage
UPDATE usage SET deliveries = usage.deliveries + rows.deliveries, reserved = usage.reserved + rows.reserved
FROM rows(application text, period text, channel text, deliveries bigint, reserved bigint)
WHERE usage.application = rows.application AND usage.period = rows.period AND usage.channel = rows.channel

-- name: insert-reservations
INSERT INTO reservations (message_id, user_id, application, period, parts)
SELECT message_id, user_id, application, period, parts
FROM rows(message_id bigint, user_id text, application text, period text, parts bigint)

-- name: open-reservations
SELECT r.message_id, r.user_id, r.application, r.period, r.parts, r.state AS was, d.state, d.reason, coalesce(d.due_at, 0) AS due
FROM (SELECT message_id, user_id, application, period, parts, state FROM reservations
      WHERE state = 'reserved' AND (message_id, user_id) > ($1, $2) ORDER BY message_id, user_id LIMIT $3) r
JOIN deliveries d ON d.message_id = r.message_id AND d.user_id = r.user_id AND d.channel = 'sms'
ORDER BY r.message_id, r.user_id

-- name: attempted-reservations
SELECT r.message_id, r.user_id, r.application, r.period, r.parts, r.state AS was, d.state, d.reason, coalesce(d.due_at, 0) AS due
FROM rows(attempt bigint) JOIN attempts t ON t.id = rows.attempt
JOIN reservations r ON r.message_id = t.message_id AND r.user_id = t.user_id
JOIN deliveries d ON d.message_id = t.message_id AND d.user_id = t.user_id AND d.channel = 'sms'
WHERE t.channel = 'sms'

-- name: end-reservations
UPDATE reservations SET state = rows.next FROM rows(message_id bigint, user_id text, was text, next text)
WHERE reservations.message_id = rows.message_id AND reservations.user_id = rows.user_id AND reservations.state = rows.was
RETURNING reservations.message_id, reservations.user_id

-- name: move-usage
UPDATE usage SET reserved = usage.reserved + rows.reserved, spent = usage.spent + rows.spent, refunded = usage.refunded + rows.refunded
FROM rows(application text, period text, channel text, reserved bigint, spent bigint, refunded bigint)
WHERE usage.application = rows.application AND usage.period = rows.period AND usage.channel = rows.channel

-- name: budgets
SELECT u.application, u.period, u.reserved, u.spent, u.refunded, u.warned
FROM rows(application text, period text) JOIN usage u ON u.application = rows.application AND u.period = rows.period AND u.channel = 'sms'

-- name: warn-budget
UPDATE usage SET warned = 1 WHERE application = $1 AND period = $2 AND channel = 'sms' AND warned = 0

-- name: days
-- The deliveries of an application's messages of a time, by the time of the message.
SELECT m.accepted_at - m.accepted_at % 900000000 AS at, d.channel, d.state, count(*) AS n
FROM messages m JOIN deliveries d ON d.message_id = m.id
WHERE m.application = $1 AND m.id >= $2 AND m.accepted_at >= $3
GROUP BY 1, d.channel, d.state
