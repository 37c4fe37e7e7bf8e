-- Replays and dead letters. Deliveries are looked at in order of their primary key, a stretch at a time: an index by state or end would
-- make each of their moves dearer, and this is asked for by people.

-- name: stretch-up
-- Where a stretch of deliveries ends; no row: it is the last.
SELECT message_id, user_id, channel FROM deliveries
WHERE (message_id, user_id, channel) > ($1, $2, $3) AND message_id <= $4 ORDER BY message_id, user_id, channel LIMIT 1 OFFSET $5

-- name: stretch-down
SELECT message_id, user_id, channel FROM deliveries
WHERE (message_id, user_id, channel) < ($1, $2, $3) AND message_id >= $4 ORDER BY message_id DESC, user_id DESC, channel DESC LIMIT 1 OFFSET $5

-- name: dead-up
-- What of a stretch a filter selects. A suppressed delivery is a dead letter when means were lacking: see tidings.MendedReasons.
SELECT d.message_id, d.user_id, d.channel FROM deliveries d
WHERE (d.message_id, d.user_id, d.channel) > ($1, $2, $3) AND (d.message_id, d.user_id, d.channel) <= ($4, $5, $6)
    AND instr($7, ',' || d.state || ',') > 0 AND ($8 = ',,' OR instr($8, ',' || d.reason || ',') > 0) AND ($9 = ',,' OR instr($9, ',' || d.channel || ',') > 0)
    AND (d.state <> 'suppressed' OR d.reason IN ('no_address', 'over_quota', 'over_budget'))
    AND ($10 = '' OR d.application = $10) AND d.changed_at >= $11 AND d.changed_at <= $12
    AND ($13 = '' OR EXISTS (SELECT 1 FROM messages m WHERE m.id = d.message_id AND m.type = $13))
ORDER BY d.message_id, d.user_id, d.channel LIMIT $14

-- name: dead-down
SELECT d.message_id, d.user_id, d.channel FROM deliveries d
WHERE (d.message_id, d.user_id, d.channel) < ($1, $2, $3) AND (d.message_id, d.user_id, d.channel) >= ($4, $5, $6)
    AND instr($7, ',' || d.state || ',') > 0 AND ($8 = ',,' OR instr($8, ',' || d.reason || ',') > 0) AND ($9 = ',,' OR instr($9, ',' || d.channel || ',') > 0)
    AND (d.state <> 'suppressed' OR d.reason IN ('no_address', 'over_quota', 'over_budget'))
    AND ($10 = '' OR d.application = $10) AND d.changed_at >= $11 AND d.changed_at <= $12
    AND ($13 = '' OR EXISTS (SELECT 1 FROM messages m WHERE m.id = d.message_id AND m.type = $13))
ORDER BY d.message_id DESC, d.user_id DESC, d.channel DESC LIMIT $14

-- name: dead-named
-- Those that a filter names one by one, in whatever state they are.
SELECT d.message_id, d.user_id, d.channel FROM rows(message_id bigint, user_id text, channel text) CROSS JOIN deliveries d
WHERE d.message_id = rows.message_id AND d.user_id = rows.user_id AND d.channel = rows.channel
    AND ($1 = ',,' OR instr($1, ',' || d.state || ',') > 0) AND ($2 = ',,' OR instr($2, ',' || d.reason || ',') > 0) AND ($3 = ',,' OR instr($3, ',' || d.channel || ',') > 0)
    AND ($4 = '' OR d.application = $4) AND d.changed_at >= $5 AND d.changed_at <= $6
    AND ($7 = '' OR EXISTS (SELECT 1 FROM messages m WHERE m.id = d.message_id AND m.type = $7))
ORDER BY d.message_id, d.user_id, d.channel

-- name: lock-dead
-- The states as they are from now to the end of the transaction: who comes with a receipt or another replay waits, or has been.
SELECT d.message_id, d.user_id, d.channel FROM rows(message_id bigint, user_id text, channel text) JOIN deliveries d
    ON d.message_id = rows.message_id AND d.user_id = rows.user_id AND d.channel = rows.channel
ORDER BY d.message_id, d.user_id, d.channel {lock d}

-- name: dead-facts
SELECT d.message_id, d.user_id, d.channel, d.application, m.type, d.lane, d.state, d.reason, d.attempts, d.changed_at, d.expires_at, now_us() AS now,
    coalesce(t.integration, '') AS integration, coalesce(t.provider, '') AS provider,
    CASE WHEN coalesce(t.detail, '') = '' THEN coalesce(c.detail, '') ELSE t.detail END AS detail,
    coalesce(c.segment, 0) AS segment, CASE WHEN c.reason = '' THEN 1 ELSE 0 END AS content, CASE WHEN d.channel = 'sms' AND c.reason = '' THEN c.body ELSE '' END AS text,
    CASE WHEN EXISTS (SELECT 1 FROM attempts a WHERE a.message_id = d.message_id AND a.user_id = d.user_id AND a.channel = d.channel AND a.state = 'sent')
        THEN 1 ELSE 0 END AS taken,
    CASE WHEN d.due_at IS NULL THEN 0 ELSE 1 END AS waits, CASE WHEN m.canceled_at <> 0 THEN 1 ELSE 0 END AS canceled,
    CASE WHEN EXISTS (SELECT 1 FROM notifications n WHERE n.user_id = d.user_id AND n.message_id = d.message_id AND n.read_at > 0)
        OR EXISTS (SELECT 1 FROM routes r WHERE r.message_id = d.message_id AND r.read_at > 0) THEN 1 ELSE 0 END AS seen,
    CASE WHEN m.collapse_key <> '' AND EXISTS (SELECT 1 FROM remembered o
        JOIN remembered y ON y.user_id = o.user_id AND y.what = o.what AND y.message_id > o.message_id
        JOIN deliveries yd ON yd.message_id = y.message_id AND yd.user_id = y.user_id AND yd.channel = y.channel
        WHERE o.user_id = d.user_id AND o.message_id = d.message_id AND o.channel = d.channel AND instr(o.what, 'collapse ') = 1
            AND yd.state NOT IN ('failed', 'suppressed', 'canceled', 'expired')) THEN 1 ELSE 0 END AS collapsed,
    CASE WHEN instr(d.decided, 'digest held') > 0 THEN 1 ELSE 0 END AS digest,
    CASE WHEN EXISTS (SELECT 1 FROM users u WHERE u.id = d.user_id AND u.deleted_at = 0) THEN 0 ELSE 1 END AS gone,
    CASE WHEN d.channel = 'web' OR EXISTS (SELECT 1 FROM addresses a WHERE a.user_id = d.user_id AND a.channel = d.channel) THEN 1 ELSE 0 END AS address
FROM rows(message_id bigint, user_id text, channel text)
JOIN deliveries d ON d.message_id = rows.message_id AND d.user_id = rows.user_id AND d.channel = rows.channel
JOIN messages m ON m.id = d.message_id
LEFT JOIN contents c ON c.message_id = d.message_id AND c.channel = d.channel AND c.locale = d.locale
LEFT JOIN attempts t ON d.attempts > 0 AND t.message_id = d.message_id AND t.user_id = d.user_id AND t.channel = d.channel AND t.n = d.attempts
ORDER BY d.message_id, d.user_id, d.channel

-- name: again-messages
SELECT m.id, m.application, m.type, m.channels, m.data FROM rows(id bigint) JOIN messages m ON m.id = rows.id

-- name: again-users
SELECT n.message_id, n.user_id, n.via, u.locale FROM rows(message_id bigint, user_id text)
JOIN notifications n ON n.message_id = rows.message_id AND n.user_id = rows.user_id JOIN users u ON u.id = n.user_id

-- name: renew-contents
-- A content stands in the place of the note that there is none.
UPDATE contents SET version = rows.version, title = rows.title, body = rows.body, url = rows.url, reason = '', detail = ''
FROM rows(message_id bigint, channel text, locale text, version bigint, title text, body text, url text, segment bigint)
WHERE contents.message_id = rows.message_id AND contents.channel = rows.channel AND contents.locale = rows.locale AND contents.reason <> ''

-- name: add-contents
-- In a locale in which there was no note.
INSERT INTO contents (message_id, channel, locale, version, title, body, url, segment)
SELECT message_id, channel, locale, version, title, body, url, segment
FROM rows(message_id bigint, channel text, locale text, version bigint, title text, body text, url text, segment bigint) WHERE true
ON CONFLICT DO NOTHING RETURNING segment

-- name: raise-planned
UPDATE segments SET planned = planned + rows.n FROM rows(id bigint, n bigint) WHERE segments.id = rows.id

-- name: choose-locales
UPDATE deliveries SET locale = rows.locale FROM rows(message_id bigint, user_id text, channel text, locale text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = rows.channel

-- name: requeue-dead
UPDATE deliveries SET state = 'queued', reason = '', due_at = NULL, changed_at = now_us(), expires_at = {greatest}(deliveries.expires_at, $1)
FROM rows(message_id bigint, user_id text, channel text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = rows.channel
    AND deliveries.state IN ('failed', 'unknown', 'expired', 'suppressed')

-- name: insert-replayed
INSERT INTO replayed (replay, message_id, user_id, channel, state, reason, attempts, parts, why)
SELECT $1, message_id, user_id, channel, state, reason, attempts, parts, why
FROM rows(message_id bigint, user_id text, channel text, state text, reason text, attempts bigint, parts bigint, why text)

-- name: dead-reservations
SELECT r.message_id, r.user_id, r.application, r.period, r.parts, r.state AS was, d.state, d.reason, coalesce(d.due_at, 0) AS due
FROM rows(message_id bigint, user_id text) JOIN reservations r ON r.message_id = rows.message_id AND r.user_id = rows.user_id
JOIN deliveries d ON d.message_id = r.message_id AND d.user_id = r.user_id AND d.channel = 'sms'

-- name: close-reservations
-- What a delivery has cost before it is sent again stays counted in its month, under a name that no user has; what it costs now is reserved anew.
UPDATE reservations SET user_id = reservations.user_id || ' ' || CAST($1 AS text) FROM rows(message_id bigint, user_id text)
WHERE reservations.message_id = rows.message_id AND reservations.user_id = rows.user_id AND reservations.state <> 'reserved'

-- name: insert-replay
INSERT INTO replays (id, application, filter, expires_at, key, hash, made_by, state, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', now_us(), now_us())

-- name: replay-by-key
SELECT id, hash FROM replays WHERE key <> '' AND key = $2 AND application = $1

-- name: running-replays
SELECT id FROM replays WHERE state = 'running' ORDER BY id

-- name: lock-replay
SELECT id, application, filter, expires_at, after_message, after_user, after_channel, created_at, replayed, left_out, parts, made_by FROM replays WHERE id = $1 AND state = 'running' {lock skip}

-- name: replay-went
UPDATE replays SET after_message = $2, after_user = $3, after_channel = $4, replayed = replayed + $5, left_out = left_out + $6, parts = parts + $7,
    state = CASE WHEN $8 = 1 THEN 'done' ELSE state END, ended_at = CASE WHEN $8 = 1 THEN now_us() ELSE 0 END, changed_at = now_us() WHERE id = $1

-- name: cancel-replay
UPDATE replays SET state = 'canceled', ended_at = now_us(), changed_at = now_us() WHERE id = $1 AND state = 'running'

-- name: replay
SELECT id, application, filter, expires_at, state, made_by, created_at, ended_at, replayed, left_out, parts FROM replays
WHERE id = $2 AND ($1 = '' OR application = $1)

-- name: replays-older
SELECT id, application, filter, expires_at, state, made_by, created_at, ended_at, replayed, left_out, parts FROM replays
WHERE ($1 = '' OR application = $1) AND id < $2 ORDER BY id DESC LIMIT $3

-- name: replays-newer
SELECT id, application, filter, expires_at, state, made_by, created_at, ended_at, replayed, left_out, parts FROM replays
WHERE ($1 = '' OR application = $1) AND id > $2 ORDER BY id LIMIT $3

-- name: replayed-why
SELECT why, count(*) AS n FROM replayed WHERE replay = $1 AND why <> '' GROUP BY why

-- name: replayed-now
SELECT d.state, count(*) AS n FROM replayed r CROSS JOIN deliveries d
WHERE r.replay = $1 AND r.why = '' AND d.message_id = r.message_id AND d.user_id = r.user_id AND d.channel = r.channel GROUP BY d.state

-- name: replayed-page
SELECT r.message_id, r.user_id, r.channel, r.state, r.reason, r.attempts, r.parts, r.why, d.state AS state_now, d.reason AS reason_now
FROM replayed r CROSS JOIN deliveries d
WHERE r.replay = $1 AND (r.message_id, r.user_id, r.channel) > ($2, $3, $4)
    AND d.message_id = r.message_id AND d.user_id = r.user_id AND d.channel = r.channel
ORDER BY r.message_id, r.user_id, r.channel LIMIT $5
