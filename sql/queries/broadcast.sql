-- Broadcasts: their segments are marked, so that nobody else pays for them.

-- name: insert-broadcasts
INSERT INTO broadcasts (id, application, state, rate, paced_from, estimated, must_read, reminders, parent, created_by, changed_at)
SELECT id, application, state, rate, now_us(), estimated, must_read, reminders, parent, created_by, now_us()
FROM rows(id bigint, application text, state text, rate bigint, estimated bigint, must_read bigint, reminders bigint, parent bigint, created_by text)

-- name: insert-reminders
INSERT INTO reminders (broadcast, n, due_at, channels, state, changed_at)
SELECT broadcast, n, due_at, channels, 'waiting', now_us() FROM rows(broadcast bigint, n bigint, due_at bigint, channels text)

-- name: running-broadcasts
SELECT b.id, b.state, m.expires_at FROM broadcasts b JOIN messages m ON m.id = b.id WHERE b.state IN ('running', 'paused')

-- name: acquire-broadcast
SELECT id, rate, paced_from, paced, must_read, parent FROM broadcasts WHERE id = $1

-- name: pace-broadcast
-- A rate that was set meanwhile counts from then, and not from what was read before.
UPDATE broadcasts SET frozen = frozen + $2, changed_at = now_us(),
    paced = CASE WHEN paced_from = $3 THEN CAST($5 AS bigint) ELSE paced + $2 END,
    paced_from = CASE WHEN paced_from = $3 THEN CAST($4 AS bigint) ELSE paced_from END
WHERE id = $1

-- name: insert-places
-- Through which memberships the audience reached somebody, or all he has where it named himself or everyone.
INSERT INTO places (message_id, region, merchant_id, store_id, user_id)
SELECT DISTINCT rows.message_id, coalesce(s.region, ''), coalesce(ms.merchant_id, ''), coalesce(s.id, ''), rows.user_id
FROM rows(message_id bigint, user_id text, via text)
LEFT JOIN memberships ms ON ms.user_id = rows.user_id AND (instr(rows.via, ',u,') > 0 OR instr(rows.via, ',' || ms.dimension || ',') > 0)
LEFT JOIN stores s ON s.id = substr(ms.dimension, 3) AND instr(ms.dimension, 's:') = 1

-- name: delay-segment
UPDATE segments SET touched_at = $2 WHERE id = $1

-- name: lock-broadcast
-- Whoever puts a segment aside and whoever lets all of them go take turns here.
SELECT state FROM broadcasts WHERE id = $1 {lock}

-- name: set-aside
UPDATE segments SET touched_at = now_us() + $3, claim_until = 0 WHERE id = $1 AND try = $2 AND coalesce(finished_at, 0) = 0

-- name: release-aside
UPDATE segments SET touched_at = 0 WHERE broadcast IN (SELECT id FROM broadcasts WHERE id = $1 OR parent = $1) AND broadcast <> 0
    AND finished_at IS NULL AND touched_at > now_us()

-- name: broadcast
SELECT b.id, b.application, b.state, b.rate, b.frozen, b.estimated, b.must_read, b.parent, b.created_by, b.ended_at, b.changed_at, m.type, m.audience, m.channels,
    m.send_at, m.expires_at, m.accepted_at, m.size
FROM broadcasts b JOIN acquired m ON m.id = b.id WHERE b.id = $2 AND ($1 = '' OR b.application = $1)

-- name: broadcasts-older
SELECT b.id, b.application, b.state, b.rate, b.frozen, b.estimated, b.must_read, b.parent, b.created_by, b.ended_at, b.changed_at, m.type, m.audience, m.channels,
    m.send_at, m.expires_at, m.accepted_at, m.size
FROM broadcasts b JOIN acquired m ON m.id = b.id WHERE ($1 = '' OR b.application = $1) AND b.parent = 0 AND b.id < $2 ORDER BY b.id DESC LIMIT $3

-- name: broadcasts-newer
SELECT b.id, b.application, b.state, b.rate, b.frozen, b.estimated, b.must_read, b.parent, b.created_by, b.ended_at, b.changed_at, m.type, m.audience, m.channels,
    m.send_at, m.expires_at, m.accepted_at, m.size
FROM broadcasts b JOIN acquired m ON m.id = b.id WHERE ($1 = '' OR b.application = $1) AND b.parent = 0 AND b.id > $2 ORDER BY b.id LIMIT $3

-- name: broadcast-reminders
SELECT n, due_at, channels, state, message_id, users FROM reminders WHERE broadcast = $1 ORDER BY n

-- name: broadcast-stages
SELECT stage, sum(size) AS n FROM segments WHERE broadcast = $1 AND broadcast <> 0 AND stage IN ('render', 'route') AND finished_at IS NOT NULL GROUP BY stage

-- name: broadcast-readers
WITH family AS MATERIALIZED (SELECT id FROM broadcast_family WHERE root = $1)
SELECT count(DISTINCT n.user_id) FROM (SELECT DISTINCT user_id FROM deliveries WHERE message_id = $1) d CROSS JOIN family f
JOIN notifications n ON n.user_id = d.user_id AND n.message_id = f.id WHERE n.read_at > 0

-- name: pause-broadcast
UPDATE broadcasts SET state = 'paused', changed_at = now_us() WHERE (id = $1 OR parent = $1) AND state = 'running'

-- name: resume-broadcast
UPDATE broadcasts SET state = 'running', paced_from = now_us(), paced = 0, changed_at = now_us() WHERE (id = $1 OR parent = $1) AND state = 'paused'

-- name: rate-broadcast
UPDATE broadcasts SET rate = $2, paced_from = now_us(), paced = 0, changed_at = now_us() WHERE (id = $1 OR parent = $1) AND state IN ('running', 'paused')

-- name: reminders-of
SELECT b.id FROM rows(id bigint) JOIN broadcasts b ON b.parent = rows.id

-- name: cancel-broadcasts
UPDATE broadcasts SET state = 'canceled', ended_at = now_us(), changed_at = now_us() FROM rows(id bigint)
WHERE broadcasts.id = rows.id AND broadcasts.state <> 'canceled'

-- name: drop-reminders
UPDATE reminders SET state = 'dropped', changed_at = now_us() FROM rows(id bigint) WHERE reminders.broadcast = rows.id AND reminders.state = 'waiting'

-- name: end-broadcasts
-- Nothing is pending any more: no open segment, no delivery that will be looked at again, no step of its route to others.
UPDATE broadcasts SET state = 'done', ended_at = now_us(), changed_at = now_us()
WHERE state = 'running'
    AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.broadcast = broadcasts.id AND s.broadcast <> 0 AND s.finished_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = broadcasts.id AND (d.due_at IS NOT NULL OR d.state IN ('held', 'queued', 'sending')))
    AND NOT EXISTS (SELECT 1 FROM escalations e WHERE e.message_id = broadcasts.id AND e.due_at IS NOT NULL)

-- name: due-reminders
SELECT r.broadcast, r.n, r.channels, b.rate, b.created_by, m.application, m.type, m.audience, m.data, m.collapse_key, m.accepted_at, m.expires_at,
    CASE WHEN m.expires_at <= now_us() THEN 1 ELSE 0 END AS expired
FROM reminders r JOIN broadcasts b ON b.id = r.broadcast JOIN messages m ON m.id = r.broadcast
WHERE r.state = 'waiting' AND r.due_at <= now_us() AND b.state <> 'paused' ORDER BY r.due_at LIMIT 20

-- name: lock-reminder
SELECT n FROM reminders WHERE broadcast = $1 AND n = $2 AND state = 'waiting' {lock skip}

-- name: take-reminder
UPDATE reminders SET state = $3, message_id = $4, users = $5, changed_at = now_us() WHERE broadcast = $1 AND n = $2 AND state = 'waiting'

-- name: count-unread
-- Who of a broadcast has read neither it nor one of its reminders, between two ids.
WITH family AS MATERIALIZED (SELECT id FROM broadcast_family WHERE root = $1)
SELECT count(*) FROM (SELECT DISTINCT user_id FROM deliveries WHERE message_id = $1 AND user_id > $2 AND user_id <= $3) d
JOIN users u ON u.id = d.user_id
WHERE u.deleted_at = 0 AND NOT EXISTS (SELECT 1 FROM family f JOIN notifications n ON n.user_id = d.user_id AND n.message_id = f.id WHERE n.read_at > 0)

-- name: resolve-unread
WITH family AS MATERIALIZED (SELECT id FROM broadcast_family WHERE root = $1)
SELECT u.id AS user_id, u.locale, n.via FROM (SELECT DISTINCT user_id FROM deliveries WHERE message_id = $1 AND user_id > $2) d
JOIN users u ON u.id = d.user_id JOIN notifications n ON n.user_id = d.user_id AND n.message_id = $1
WHERE u.deleted_at = 0 AND NOT EXISTS (SELECT 1 FROM family f JOIN notifications r ON r.user_id = d.user_id AND r.message_id = f.id WHERE r.read_at > 0)
ORDER BY u.id LIMIT $3

-- name: reads-total
WITH family AS MATERIALIZED (SELECT id FROM broadcast_family WHERE root = $1),
here AS MATERIALIZED (SELECT DISTINCT user_id FROM places
    WHERE message_id = $1 AND ($2 = 0 OR region = $3) AND ($4 = 0 OR merchant_id = $5) AND ($6 = 0 OR store_id = $7))
SELECT count(*) AS total, count(r.user_id) AS read FROM here h LEFT JOIN (
    SELECT DISTINCT h.user_id FROM here h CROSS JOIN family f JOIN notifications n ON n.user_id = h.user_id AND n.message_id = f.id
    WHERE n.read_at > 0) r ON r.user_id = h.user_id

-- name: reads-nodes
-- The nodes below one, and that one itself (whole = 1): who has read is looked up once for both.
WITH family AS MATERIALIZED (SELECT id FROM broadcast_family WHERE root = $1),
here AS MATERIALIZED (SELECT DISTINCT CASE $8 WHEN 'region' THEN region WHEN 'merchant' THEN merchant_id ELSE store_id END AS node, user_id
    FROM places WHERE message_id = $1 AND ($2 = 0 OR region = $3) AND ($4 = 0 OR merchant_id = $5) AND ($6 = 0 OR store_id = $7)),
people AS MATERIALIZED (SELECT DISTINCT user_id FROM here),
readers AS MATERIALIZED (SELECT DISTINCT p.user_id FROM people p CROSS JOIN family f
    JOIN notifications n ON n.user_id = p.user_id AND n.message_id = f.id WHERE n.read_at > 0)
SELECT 1 AS whole, '' AS id, '' AS name, (SELECT count(*) FROM people) AS total, (SELECT count(*) FROM readers) AS read
UNION ALL
SELECT 0, t.node, coalesce(CASE $8 WHEN 'merchant' THEN (SELECT m.name FROM merchants m WHERE m.id = t.node)
    WHEN 'store' THEN (SELECT s.name FROM stores s WHERE s.id = t.node) ELSE '' END, ''), t.total, t.read FROM (
    SELECT h.node, count(*) AS total, count(r.user_id) AS read FROM here h LEFT JOIN readers r ON r.user_id = h.user_id
    WHERE $9 = 0 OR h.node > $10 GROUP BY h.node ORDER BY h.node LIMIT $11) t
ORDER BY 1 DESC, 2

-- name: reads-people
WITH family AS MATERIALIZED (SELECT id FROM broadcast_family WHERE root = $1),
here AS MATERIALIZED (SELECT DISTINCT user_id FROM places
    WHERE message_id = $1 AND ($2 = 0 OR region = $3) AND ($4 = 0 OR merchant_id = $5) AND ($6 = 0 OR store_id = $7) AND user_id > $8
    ORDER BY user_id LIMIT $9)
SELECT h.user_id AS id, u.name, coalesce(min(nullif(n.seen_at, 0)), 0) AS seen_at, coalesce(min(nullif(n.read_at, 0)), 0) AS read_at
FROM here h JOIN users u ON u.id = h.user_id CROSS JOIN family f LEFT JOIN notifications n ON n.user_id = h.user_id AND n.message_id = f.id
GROUP BY h.user_id, u.name ORDER BY h.user_id

-- name: proof-page
SELECT region, merchant_id, store_id, user_id FROM places
WHERE message_id = $1 AND (region, merchant_id, store_id, user_id) > ($2, $3, $4, $5)
ORDER BY region, merchant_id, store_id, user_id LIMIT $6

-- name: proof-deliveries
WITH family AS MATERIALIZED (SELECT b.id, coalesce(r.n, 0) AS n FROM broadcasts b LEFT JOIN reminders r ON r.broadcast = $1 AND r.message_id = b.id
    WHERE b.id = $1 OR b.parent = $1)
SELECT d.user_id, f.n AS reminder, d.channel, d.state, d.number, d.changed_at, coalesce(t.provider, '') AS provider, coalesce(t.provider_id, '') AS provider_id
FROM rows(user_id text) CROSS JOIN family f JOIN deliveries d ON d.message_id = f.id AND d.user_id = rows.user_id
LEFT JOIN attempts t ON t.message_id = d.message_id AND t.user_id = d.user_id AND t.channel = d.channel AND t.n = d.attempts
ORDER BY d.user_id, f.n, d.channel

-- name: proof-marks
WITH family AS MATERIALIZED (SELECT id FROM broadcast_family WHERE root = $1)
SELECT n.user_id AS id, coalesce(min(nullif(n.seen_at, 0)), 0) AS seen_at, coalesce(min(nullif(n.read_at, 0)), 0) AS read_at
FROM rows(user_id text) CROSS JOIN family f JOIN notifications n ON n.user_id = rows.user_id AND n.message_id = f.id GROUP BY n.user_id
