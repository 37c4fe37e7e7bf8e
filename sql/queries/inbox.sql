-- What merchants' users see. Every query goes by the view visible and one user, or by one dimension's members.

-- name: inbox-older
SELECT v.message_id, v.via, v.seen_at, v.read_at, v.archived_at, m.application, m.type, m.accepted_at
FROM visible v JOIN messages m ON m.id = v.message_id
WHERE v.user_id = $1 AND v.message_id < $2
    AND ($3 = '' OR instr(v.via, ',' || $3 || ',') > 0)
    AND ($4 = 0 OR v.read_at = 0 AND NOT EXISTS (SELECT 1 FROM deliveries d
        WHERE d.message_id = v.message_id AND d.user_id = v.user_id AND d.channel = 'web' AND d.reason IN ('muted', 'over_cap', 'duplicate', 'collapsed'))) AND (v.archived_at > 0) = ($5 = 1)
    AND ($6 = '' OR instr($6, ',' || m.type || ',') > 0)
ORDER BY v.message_id DESC LIMIT $7

-- name: inbox-newer
SELECT v.message_id, v.via, v.seen_at, v.read_at, v.archived_at, m.application, m.type, m.accepted_at
FROM visible v JOIN messages m ON m.id = v.message_id
WHERE v.user_id = $1 AND v.message_id > $2
    AND ($3 = '' OR instr(v.via, ',' || $3 || ',') > 0)
    AND ($4 = 0 OR v.read_at = 0 AND NOT EXISTS (SELECT 1 FROM deliveries d
        WHERE d.message_id = v.message_id AND d.user_id = v.user_id AND d.channel = 'web' AND d.reason IN ('muted', 'over_cap', 'duplicate', 'collapsed'))) AND (v.archived_at > 0) = ($5 = 1)
    AND ($6 = '' OR instr($6, ',' || m.type || ',') > 0)
ORDER BY v.message_id LIMIT $7

-- name: inbox-contents
-- Every channel's content of a user's notifications; the reader picks.
SELECT d.message_id, d.channel, d.number, d.reason, coalesce(c.title, '') AS title, coalesce(c.body, '') AS body, coalesce(c.url, '') AS url,
    CASE WHEN c.reason = '' THEN 1 ELSE 0 END AS made
FROM rows(message_id bigint) CROSS JOIN deliveries d
LEFT JOIN contents c ON c.message_id = d.message_id AND c.channel = d.channel AND c.locale = d.locale
WHERE d.message_id = rows.message_id AND d.user_id = $1

-- name: unread
-- What the user was spared on the web stays in the history and calls for nobody's eyes.
SELECT count(*) FROM visible v
WHERE v.user_id = $1 AND v.read_at = 0 AND v.archived_at = 0
    AND NOT EXISTS (SELECT 1 FROM deliveries d
        WHERE d.message_id = v.message_id AND d.user_id = v.user_id AND d.channel = 'web' AND d.reason IN ('muted', 'over_cap', 'duplicate', 'collapsed'))
    AND ($2 = '' OR EXISTS (SELECT 1 FROM messages m WHERE m.id = v.message_id AND instr($2, ',' || m.type || ',') > 0))

-- name: unread-of
SELECT v.user_id, count(*) AS unread FROM rows(user_id text) CROSS JOIN visible v
WHERE v.user_id = rows.user_id AND v.read_at = 0 AND v.archived_at = 0
    AND NOT EXISTS (SELECT 1 FROM deliveries d
        WHERE d.message_id = v.message_id AND d.user_id = v.user_id AND d.channel = 'web' AND d.reason IN ('muted', 'over_cap', 'duplicate', 'collapsed'))
GROUP BY v.user_id

-- name: mark
UPDATE notifications SET
    seen_at = CASE WHEN seen_at = 0 THEN now_us() ELSE seen_at END,
    read_at = CASE WHEN $2 = 'read' AND read_at = 0 THEN now_us() ELSE read_at END,
    archived_at = CASE WHEN $2 = 'archive' AND archived_at = 0 THEN now_us() ELSE archived_at END
WHERE user_id = $1 AND message_id IN (
        SELECT v.message_id FROM rows(message_id bigint) JOIN visible v ON v.message_id = rows.message_id AND v.user_id = $1
        WHERE $3 = '' OR EXISTS (SELECT 1 FROM messages m WHERE m.id = v.message_id AND instr($3, ',' || m.type || ',') > 0))
    AND ($2 = 'seen' AND seen_at = 0 OR $2 = 'read' AND read_at = 0 OR $2 = 'archive' AND archived_at = 0)
RETURNING message_id, user_id

-- name: mark-up-to
UPDATE notifications SET
    seen_at = CASE WHEN seen_at = 0 THEN now_us() ELSE seen_at END,
    read_at = CASE WHEN $2 = 'read' AND read_at = 0 THEN now_us() ELSE read_at END,
    archived_at = CASE WHEN $2 = 'archive' AND archived_at = 0 THEN now_us() ELSE archived_at END
WHERE user_id = $1 AND message_id IN (
        SELECT v.message_id FROM visible v WHERE v.user_id = $1 AND v.message_id <= $3
            AND ($4 = '' OR EXISTS (SELECT 1 FROM messages m WHERE m.id = v.message_id AND instr($4, ',' || m.type || ',') > 0))
            AND ($2 = 'seen' AND v.seen_at = 0 OR $2 = 'read' AND v.read_at = 0 OR $2 = 'archive' AND v.archived_at = 0))
RETURNING message_id, user_id

-- name: history-older
-- A merchant's history is that of its own members and of its stores: $2 is the merchant's id, '' for a store.
SELECT m.id AS message_id, m.application, m.type, m.accepted_at, m.size FROM acquired m
WHERE m.id IN (
    SELECT x.message_id FROM dimensions x
    WHERE (x.dimension = $1 OR x.dimension IN (SELECT 's:' || s.id FROM stores s WHERE s.merchant_id = $2)) AND x.message_id < $3)
    AND m.send_at <= now_us()
    AND (m.canceled_at = 0 OR EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.reason <> 'canceled'))
ORDER BY m.id DESC LIMIT $4

-- name: history-newer
SELECT m.id AS message_id, m.application, m.type, m.accepted_at, m.size FROM acquired m
WHERE m.id IN (
    SELECT x.message_id FROM dimensions x
    WHERE (x.dimension = $1 OR x.dimension IN (SELECT 's:' || s.id FROM stores s WHERE s.merchant_id = $2)) AND x.message_id > $3)
    AND m.send_at <= now_us()
    AND (m.canceled_at = 0 OR EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.reason <> 'canceled'))
ORDER BY m.id LIMIT $4

-- name: count-members
SELECT count(*) FROM memberships ms WHERE ms.dimension = $1 OR ms.merchant_id = $2

-- name: history-users-by-member
-- The members of the dimension whom each message reached through it, one row each. Two ways to the same answer: this one
-- looks for each member's notification, which is right for few members; CROSS JOIN keeps that order.
SELECT DISTINCT n.message_id, n.user_id, n.read_at
FROM rows(message_id bigint) CROSS JOIN memberships ms CROSS JOIN notifications n
WHERE (ms.dimension = $1 OR ms.merchant_id = $2) AND n.message_id = rows.message_id AND n.user_id = ms.user_id
    AND instr(n.via, ',' || ms.dimension || ',') > 0

-- name: history-users-by-message
-- The other way: for each notification, whether its user is a member. Right for messages to few.
SELECT DISTINCT n.message_id, n.user_id, n.read_at FROM rows(message_id bigint) CROSS JOIN deliveries d CROSS JOIN notifications n
WHERE d.message_id = rows.message_id AND n.user_id = d.user_id AND n.message_id = rows.message_id AND EXISTS (SELECT 1 FROM memberships ms
    WHERE ms.user_id = n.user_id AND (ms.dimension = $1 OR ms.merchant_id = $2) AND instr(n.via, ',' || ms.dimension || ',') > 0)

-- name: history-contents
SELECT c.message_id, c.channel, c.locale, c.title, c.body, c.url
FROM rows(message_id bigint) CROSS JOIN contents c WHERE c.message_id = rows.message_id AND c.reason = ''
ORDER BY c.message_id, c.channel, c.locale

-- name: mark-dimension
UPDATE notifications SET
    seen_at = CASE WHEN seen_at = 0 THEN now_us() ELSE seen_at END,
    read_at = CASE WHEN $3 = 'read' AND read_at = 0 THEN now_us() ELSE read_at END,
    archived_at = CASE WHEN $3 = 'archive' AND archived_at = 0 THEN now_us() ELSE archived_at END
FROM rows(message_id bigint) CROSS JOIN memberships ms
WHERE (ms.dimension = $1 OR ms.merchant_id = $2) AND notifications.message_id = rows.message_id AND notifications.user_id = ms.user_id
    AND instr(notifications.via, ',' || ms.dimension || ',') > 0
    AND ($3 = 'seen' AND seen_at = 0 OR $3 = 'read' AND read_at = 0 OR $3 = 'archive' AND archived_at = 0)
RETURNING notifications.message_id, notifications.user_id
