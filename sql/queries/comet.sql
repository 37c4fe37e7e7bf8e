-- What comet reads and writes: the numbered list behind the streams.

-- name: epoch
SELECT value FROM settings WHERE name = 'epoch'

-- name: generation
SELECT value FROM counters WHERE name = 'generation'

-- name: next-generation
-- Also where the record lags behind what processes know: it was restored, or a standby that lacked the last of it took over.
UPDATE counters SET value = $1 + 1 WHERE name = 'generation' AND value <= $1

-- name: renew-epoch
UPDATE settings SET value = $1 WHERE name = 'epoch'

-- name: raise-generation
UPDATE counters SET value = value + 1000000 WHERE name = 'generation'

-- name: heads
SELECT i.user_id, i.head, i.acked FROM rows(user_id text) CROSS JOIN inboxes i WHERE i.user_id = rows.user_id

-- name: tails
-- One row at least for who has a list, of the head alone if nothing follows: head and entries are of one moment. Numbers have no
-- holes but those that retention makes, so a span of numbers is a limit.
SELECT i.user_id, rows.low, i.head, coalesce(x.number, 0) AS number, coalesce(x.message_id, 0) AS id, coalesce(m.application, '') AS application,
    coalesce(m.type, '') AS type, coalesce(m.accepted_at, 0) AS accepted_at, coalesce(n.via, '') AS via,
    coalesce(c.title, '') AS title, coalesce(c.body, '') AS body, coalesce(c.url, '') AS url,
    CASE WHEN m.collapse_key <> '' AND EXISTS (SELECT 1 FROM types t
        WHERE t.application = m.application AND t.name = m.type AND instr(t.spec, '"replace":true') > 0) THEN 1 ELSE 0 END AS replaces,
    CASE WHEN coalesce(d.reason, '') <> 'collapsed' AND (instr(n.via, ',u,') > 0 OR EXISTS (SELECT 1 FROM memberships ms
        WHERE ms.user_id = n.user_id AND instr(n.via, ',' || ms.dimension || ',') > 0)) THEN 1 ELSE 0 END AS seen
FROM rows(user_id text, low bigint, high bigint) CROSS JOIN inboxes i
LEFT JOIN inbox x ON x.user_id = i.user_id AND x.number > rows.low AND x.number <= rows.high
LEFT JOIN messages m ON m.id = x.message_id
LEFT JOIN notifications n ON n.message_id = x.message_id AND n.user_id = x.user_id
LEFT JOIN deliveries d ON d.message_id = x.message_id AND d.user_id = x.user_id AND d.channel = 'web'
LEFT JOIN contents c ON c.message_id = x.message_id AND c.channel = 'web' AND c.locale = d.locale
WHERE i.user_id = rows.user_id ORDER BY x.number

-- name: lock-acked
-- In order of id, like every writer.
SELECT user_id, head, acked FROM inboxes WHERE user_id IN (SELECT user_id FROM rows(user_id text)) ORDER BY user_id {lock}

-- name: acknowledge-deliveries
UPDATE deliveries SET state = 'delivered', changed_at = now_us()
FROM rows(user_id text, low bigint, high bigint) CROSS JOIN inbox x
WHERE x.user_id = rows.user_id AND x.number > rows.low AND x.number <= rows.high AND deliveries.message_id = x.message_id AND deliveries.user_id = x.user_id AND deliveries.channel = 'web'
    AND deliveries.state = 'sent'

-- name: acknowledge
UPDATE inboxes SET acked = rows.high FROM rows(user_id text, high bigint)
WHERE inboxes.user_id = rows.user_id AND inboxes.acked < rows.high

-- name: changed-users
SELECT id FROM users WHERE changed_at > $1 ORDER BY changed_at

-- name: now
SELECT now_us()
