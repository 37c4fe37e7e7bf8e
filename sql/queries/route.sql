-- Routes: what ends when somebody reads, and what follows when nobody does.

-- name: insert-routes
INSERT INTO routes (message_id, family, until) SELECT message_id, message_id, until FROM rows(message_id bigint, until text) WHERE true
ON CONFLICT (message_id) DO NOTHING

-- name: insert-escalations
-- A step waits for the last of the users of its message. One that ended because all users planned until then had read goes on.
INSERT INTO escalations (message_id, step, target, channels, due_at, state, reason, changed_at)
SELECT message_id, step, target, channels, nullif(due_at, 0), state, reason, now_us()
FROM rows(message_id bigint, step bigint, target text, channels text, due_at bigint, state text, reason text) WHERE true
ON CONFLICT (message_id, step) DO UPDATE SET due_at = {greatest}(excluded.due_at, coalesce(escalations.due_at, 0)), state = 'held', reason = '', changed_at = now_us()
WHERE excluded.state = 'held' AND (escalations.state IN ('held', 'expired') OR escalations.reason = 'read' AND EXISTS (
    SELECT 1 FROM routes r WHERE r.message_id = escalations.message_id AND r.until <> 'anyone'))

-- name: count-escalations
UPDATE routes SET escalations = (SELECT count(*) FROM escalations e WHERE e.message_id = routes.message_id)
WHERE message_id IN (SELECT message_id FROM rows(message_id bigint))

-- name: insert-child-routes
INSERT INTO routes (message_id, family, until) SELECT message_id, family, until FROM rows(message_id bigint, family bigint, until text)

-- name: families
SELECT r.message_id, r.family, r.until FROM rows(message_id bigint) JOIN routes r ON r.message_id = rows.message_id

-- name: lock-families
SELECT r.message_id, r.family, r.until FROM rows(message_id bigint) JOIN routes r ON r.message_id = rows.message_id ORDER BY r.message_id {lock r}

-- name: read-families
UPDATE routes SET read_at = now_us() WHERE family IN (SELECT family FROM rows(family bigint)) AND read_at = 0

-- name: end-read-steps
-- The later steps of a user who has read.
UPDATE deliveries SET state = 'suppressed', reason = 'read', due_at = NULL, changed_at = now_us()
FROM rows(message_id bigint, user_id text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id
    AND deliveries.state IN ('held', 'queued') AND instr(deliveries.decided, 'route held') > 0

-- name: end-read-families
-- All later steps of messages that somebody has read, with those that are messages of their own.
UPDATE deliveries SET state = 'suppressed', reason = 'read', due_at = NULL, changed_at = now_us()
WHERE message_id IN (SELECT r.message_id FROM rows(family bigint) JOIN routes r ON r.family = rows.family)
    AND state IN ('held', 'queued')
    AND (instr(decided, 'route held') > 0 OR message_id NOT IN (SELECT r.family FROM routes r WHERE r.message_id = deliveries.message_id))

-- name: end-read-escalations
UPDATE escalations SET state = 'suppressed', reason = 'read', due_at = NULL, changed_at = now_us()
WHERE message_id IN (SELECT message_id FROM rows(message_id bigint)) AND due_at IS NOT NULL AND ($1 = 1 OR NOT EXISTS (
    SELECT 1 FROM deliveries d JOIN notifications n ON n.message_id = d.message_id AND n.user_id = d.user_id
    WHERE d.message_id = escalations.message_id AND n.read_at = 0))

-- name: cancel-escalations
UPDATE escalations SET state = 'canceled', reason = 'canceled', due_at = NULL, changed_at = now_us()
WHERE message_id IN (SELECT id FROM rows(id bigint)) AND due_at IS NOT NULL

-- name: children
SELECT r.message_id FROM rows(id bigint) JOIN routes r ON r.family = rows.id AND r.message_id <> rows.id

-- name: due-escalations
SELECT e.message_id, e.step, e.target, e.channels, r.until, r.read_at, m.application, m.type, m.lane, m.data, m.expires_at,
    m.collapse_key, m.cancellation_key, m.canceled_at, now_us() AS now
FROM escalations e CROSS JOIN routes r CROSS JOIN messages m
WHERE e.due_at IS NOT NULL AND e.due_at <= (SELECT now_us()) AND r.message_id = e.message_id AND m.id = e.message_id
    AND NOT EXISTS (SELECT 1 FROM broadcasts b WHERE b.id = e.message_id AND b.state = 'paused')
ORDER BY e.due_at LIMIT $1 {lock er skip}

-- name: read-counts
SELECT rows.message_id, CAST(sum(CASE WHEN n.read_at = 0 THEN 1 ELSE 0 END) AS bigint) AS unread, CAST(sum(CASE WHEN n.read_at > 0 THEN 1 ELSE 0 END) AS bigint) AS readers
FROM rows(message_id bigint) CROSS JOIN (SELECT DISTINCT message_id, user_id FROM deliveries) d CROSS JOIN notifications n
WHERE d.message_id = rows.message_id AND n.user_id = d.user_id AND n.message_id = d.message_id GROUP BY rows.message_id

-- name: unread-dimensions
-- Through which merchants and stores those were reached who have not read; of one who was named himself, all that are his.
SELECT DISTINCT rows.message_id, ms.dimension, ms.merchant_id
FROM rows(message_id bigint) CROSS JOIN deliveries d CROSS JOIN notifications n CROSS JOIN memberships ms
WHERE d.message_id = rows.message_id AND n.user_id = d.user_id AND n.message_id = d.message_id AND n.read_at = 0
    AND ms.user_id = n.user_id AND (instr(n.via, ',' || ms.dimension || ',') > 0 OR n.via = ',u,')

-- name: end-escalations
UPDATE escalations SET state = rows.next, reason = rows.why, child = rows.child, due_at = CASE WHEN rows.pause = 0 THEN NULL ELSE now_us() + rows.pause END, changed_at = now_us()
FROM rows(message_id bigint, step bigint, next text, why text, child bigint, pause bigint)
WHERE escalations.message_id = rows.message_id AND escalations.step = rows.step

-- name: store-hours
SELECT id, timezone, hours, holidays FROM stores WHERE id IN (SELECT id FROM rows(id text)) AND deleted_at = 0

-- name: escalations-of
SELECT e.message_id, e.step, e.target, e.channels, coalesce(e.due_at, 0) AS due_at, e.state, e.reason, e.child
FROM rows(message_id bigint) CROSS JOIN escalations e WHERE e.message_id = rows.message_id ORDER BY e.message_id, e.step

-- name: cancel-delivery
UPDATE deliveries SET state = 'canceled', reason = 'canceled', due_at = NULL, changed_at = now_us()
WHERE message_id = $1 AND user_id = $2 AND channel = $3 AND state IN ('held', 'queued')

-- name: insert-digest-items
INSERT INTO digest_items (message_id, user_id, channel, application, type, ready_at, due_at)
SELECT message_id, user_id, channel, application, type, ready_at, due_at
FROM rows(message_id bigint, user_id text, channel text, application text, type text, ready_at bigint, due_at bigint)

-- name: due-digests
SELECT DISTINCT application, type, user_id FROM digest_items WHERE digest = 0 AND due_at <= (SELECT now_us()) LIMIT $1

-- name: digest-members
-- All that may be gathered of what is due, with what the digest says of each.
SELECT i.message_id, i.user_id, i.channel, i.application, i.type, t.spec, m.accepted_at, d.expires_at, n.via, n.locale, now_us() AS now,
    CASE WHEN c.title <> '' THEN c.title ELSE coalesce(c.body, '') END AS title,
    CASE WHEN d.state = 'held' THEN 1 ELSE 0 END AS held, CASE WHEN d.expires_at <= now_us() THEN 1 ELSE 0 END AS expired,
    CASE WHEN m.canceled_at <> 0 THEN 1 ELSE 0 END AS canceled
FROM rows(application text, type text, user_id text) CROSS JOIN digest_items i
JOIN deliveries d ON d.message_id = i.message_id AND d.user_id = i.user_id AND d.channel = i.channel
JOIN messages m ON m.id = i.message_id
JOIN notifications n ON n.message_id = i.message_id AND n.user_id = i.user_id
JOIN types t ON t.application = i.application AND t.name = i.type
LEFT JOIN contents c ON c.message_id = i.message_id AND c.channel = i.channel AND c.locale = d.locale
WHERE i.digest = 0 AND i.user_id = rows.user_id AND i.application = rows.application AND i.type = rows.type AND i.ready_at <= now_us()
ORDER BY i.user_id, i.message_id DESC {lock d}

-- name: end-digested
UPDATE deliveries SET state = rows.next, reason = rows.why, due_at = NULL, changed_at = now_us(), decided = deliveries.decided || rows.said
FROM rows(message_id bigint, user_id text, channel text, next text, why text, said text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = rows.channel AND deliveries.state = 'held'

-- name: end-digest-items
UPDATE digest_items SET digest = rows.digest FROM rows(message_id bigint, user_id text, channel text, digest bigint)
WHERE digest_items.message_id = rows.message_id AND digest_items.user_id = rows.user_id AND digest_items.channel = rows.channel

-- name: put-off-digested
-- What is due to be gathered for suspended applications, by whose reason their resuming finds it.
UPDATE deliveries SET reason = 'suspended', due_at = now_us() + $1, changed_at = now_us() FROM digest_items i
WHERE i.digest = 0 AND i.due_at <= (SELECT now_us()) AND EXISTS (SELECT 1 FROM rows(application text) WHERE rows.application = i.application)
    AND deliveries.message_id = i.message_id AND deliveries.user_id = i.user_id AND deliveries.channel = i.channel AND deliveries.state = 'held'

-- name: put-off-digests
UPDATE digest_items SET due_at = now_us() + $1
WHERE digest = 0 AND EXISTS (SELECT 1 FROM rows(application text) WHERE rows.application = digest_items.application) AND due_at <= (SELECT now_us())

-- name: archive-digests
UPDATE notifications SET archived_at = now_us(), seen_at = now_us()
FROM rows(message_id bigint, user_id text) WHERE notifications.message_id = rows.message_id AND notifications.user_id = rows.user_id
