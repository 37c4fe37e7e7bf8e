-- name: outgoing
SELECT d.message_id, d.user_id, d.state, d.attempts, d.expires_at, d.locale, CASE WHEN d.expires_at <= now_us() THEN 1 ELSE 0 END AS expired,
    CASE WHEN m.canceled_at <> 0 THEN 1 ELSE 0 END AS canceled, m.collapse_key, m.type, t.spec, c.title, c.body, c.url,
    coalesce(a.value, '') AS address, coalesce(a.provider, '') AS provider, coalesce(a.platform, '') AS platform,
    coalesce(x.provider_code, '') AS code, coalesce(x.signature, '') AS signature, CASE WHEN x.provider_code <> '' THEN m.data ELSE '' END AS data
FROM rows(message_id bigint, user_id text)
JOIN deliveries d ON d.message_id = rows.message_id AND d.user_id = rows.user_id AND d.channel = $1
JOIN messages m ON m.id = d.message_id
JOIN types t ON t.application = m.application AND t.name = m.type
JOIN contents c ON c.message_id = d.message_id AND c.channel = d.channel AND c.locale = d.locale
LEFT JOIN addresses a ON a.user_id = d.user_id AND a.channel = d.channel
LEFT JOIN templates x ON $1 = 'sms' AND x.application = m.application AND x.type = m.type AND x.channel = c.channel AND x.locale = c.locale
    AND x.version = c.version
WHERE d.state IN ('queued', 'sending')

-- name: begin-deliveries
-- Only what is still queued goes out, of a message that was not canceled: a delivery that came into being while a cancel was under way is
-- queued still.
UPDATE deliveries SET state = 'sending', reason = '', attempts = deliveries.attempts + 1, changed_at = now_us()
FROM rows(message_id bigint, user_id text) JOIN messages m ON m.id = rows.message_id
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = $1
    AND deliveries.state = 'queued' AND deliveries.expires_at > now_us() AND m.canceled_at = 0
RETURNING deliveries.message_id, deliveries.user_id, deliveries.attempts AS n

-- name: end-unbegun
-- What begin-deliveries left queued is over. Nobody would look at it again once its segment has ended, so it ends here.
UPDATE deliveries SET state = CASE WHEN m.canceled_at <> 0 THEN 'canceled' ELSE 'expired' END,
    reason = CASE WHEN m.canceled_at <> 0 THEN 'canceled' ELSE 'expired' END, due_at = NULL, changed_at = now_us()
FROM rows(message_id bigint, user_id text) JOIN messages m ON m.id = rows.message_id
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = $1
    AND deliveries.state = 'queued' AND (m.canceled_at <> 0 OR deliveries.expires_at <= now_us())

-- name: insert-attempts
INSERT INTO attempts (id, message_id, user_id, channel, n, key, provider, integration, state, started_at)
SELECT id, message_id, user_id, $1, n, key, $2, $3, 'sending', now_us() FROM rows(id bigint, message_id bigint, user_id text, n bigint, key text)

-- name: attempts-before
SELECT t.message_id, t.user_id, t.integration, t.key, t.state, t.passed_on, CASE WHEN t.started_at < now_us() - $2 THEN 1 ELSE 0 END AS aged,
    CASE WHEN EXISTS (SELECT 1 FROM replayed r WHERE r.message_id = t.message_id AND r.user_id = t.user_id AND r.channel = t.channel
        AND r.why = '' AND r.attempts >= t.n) THEN 1 ELSE 0 END AS replayed
FROM rows(message_id bigint, user_id text)
JOIN attempts t ON t.message_id = rows.message_id AND t.user_id = rows.user_id AND t.channel = $1
ORDER BY t.message_id, t.user_id, t.n

-- name: interrupted
-- Attempts that a worker left under way when its claim lapsed.
SELECT t.id, t.message_id, t.user_id, t.integration, t.provider FROM rows(message_id bigint, user_id text)
JOIN attempts t ON t.message_id = rows.message_id AND t.user_id = rows.user_id AND t.channel = $1 AND t.state = 'sending'

-- name: end-attempts
-- A receipt that came before the answer has settled its attempt already: its outcome stays, the rest is filled in.
UPDATE attempts SET
    state = CASE WHEN attempts.state IN ('sending', 'unknown') THEN rows.next ELSE attempts.state END,
    reason = CASE WHEN attempts.state IN ('sending', 'unknown') THEN rows.why ELSE attempts.reason END,
    detail = CASE WHEN attempts.detail = '' THEN rows.detail ELSE attempts.detail END,
    provider_id = CASE WHEN attempts.provider_id = '' THEN rows.provider_id ELSE attempts.provider_id END,
    parts = {greatest}(attempts.parts, rows.parts), passed_on = rows.passed_on, ended_at = now_us(),
    ask_at = CASE WHEN rows.ask = 0 THEN NULL ELSE now_us() + rows.ask END
FROM rows(id bigint, next text, why text, detail text, provider_id text, parts bigint, passed_on bigint, ask bigint)
WHERE attempts.id = rows.id

-- name: settle-deliveries
-- The delivery follows its latest attempt, and only forward.
UPDATE deliveries SET state = rows.next, reason = rows.why, changed_at = now_us(),
    due_at = CASE WHEN rows.retry = 0 THEN NULL ELSE now_us() + rows.retry END
FROM rows(attempt bigint, next text, why text, retry bigint) JOIN attempts t ON t.id = rows.attempt
WHERE deliveries.message_id = t.message_id AND deliveries.user_id = t.user_id AND deliveries.channel = t.channel
    AND deliveries.attempts = t.n
    AND (deliveries.state = 'sending' OR deliveries.state = 'unknown' AND rows.next IN ('sent', 'failed'))

-- name: end-queued
-- Deliveries that end without a call: expired, no address any more.
UPDATE deliveries SET state = rows.next, reason = rows.why, due_at = NULL, changed_at = now_us()
FROM rows(message_id bigint, user_id text, next text, why text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = $1 AND deliveries.state = 'queued'

-- name: hold-queued
UPDATE deliveries SET state = 'held', reason = $2, due_at = now_us() + rows.wait, changed_at = now_us()
FROM rows(message_id bigint, user_id text, wait bigint)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = $1 AND deliveries.state = 'queued'

-- name: drop-addresses
DELETE FROM addresses WHERE user_id = $1 AND channel = $2 AND changed_at < $3

-- name: integration-of-attempt
SELECT integration FROM attempts WHERE id = $1

-- name: attempt-of
SELECT id FROM attempts WHERE provider_id <> '' AND provider_id = $2 AND integration = $1 LIMIT 2

-- name: attempt-by-id
SELECT message_id, user_id, channel, n, provider, state FROM attempts WHERE id = $1

-- name: insert-receipt
INSERT INTO receipts (id, attempt, kind, detail, raw, hash, received_at) SELECT $1, $2, $3, $4, $5, $6, now_us()
WHERE (SELECT count(*) FROM receipts WHERE attempt = $2) < $7 ON CONFLICT (attempt, hash) WHERE hash <> '' DO NOTHING

-- name: receipt-attempt
-- What a final receipt ($5) tells need not be asked any more.
UPDATE attempts SET
    state = CASE WHEN state IN ('sending', 'unknown') OR state = 'sent' AND $2 = 'failed' THEN $2 ELSE state END,
    reason = CASE WHEN state IN ('sending', 'unknown') OR state = 'sent' AND $2 = 'failed' THEN $3 ELSE reason END,
    provider_id = CASE WHEN provider_id = '' THEN $4 ELSE provider_id END,
    ask_at = CASE WHEN $5 = 1 THEN NULL ELSE ask_at END
WHERE id = $1 AND (state IN ('sending', 'unknown') OR state = 'sent' AND $2 = 'failed' OR $5 = 1 AND ask_at IS NOT NULL)

-- name: receipt-delivery
-- Proof of arrival counts whichever attempt it is of; any other receipt only moves the delivery of the latest attempt. What is about to be
-- sent again is not, when the attempt before it turns out to have arrived, or to have been taken after all.
UPDATE deliveries SET state = $4, reason = $5, due_at = NULL, changed_at = now_us()
WHERE message_id = $1 AND user_id = $2 AND channel = $3
    AND ($4 = 'delivered' AND state IN ('sending', 'unknown', 'sent', 'queued', 'held')
      OR $4 = 'sent' AND state IN ('sending', 'unknown') AND attempts = $6
      OR $4 = 'sent' AND state = 'queued' AND attempts = $6 AND EXISTS (SELECT 1 FROM attempts t
        WHERE t.message_id = $1 AND t.user_id = $2 AND t.channel = $3 AND t.n = $6 AND t.state = 'unknown')
      OR $4 = 'failed' AND state IN ('sending', 'unknown', 'sent') AND attempts = $6)

-- name: wake-unavailable
UPDATE deliveries SET due_at = now_us() WHERE due_at > now_us() AND state = 'held' AND reason IN ('channel_unavailable', 'misconfigured')
