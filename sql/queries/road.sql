-- The stages read the messages of their segments in the round in which they read the segments: the ids stand in the items.

-- name: acquire-messages
WITH ids AS MATERIALIZED (SELECT DISTINCT CAST(e.value AS bigint) AS id
    FROM rows(id bigint, try bigint) JOIN segments s ON s.id = rows.id {messages of s})
SELECT m.id, m.application, m.type, m.audience, m.data, m.channels, m.send_at, m.expires_at, m.accepted_at, m.canceled_at, m.collapse_key
FROM ids JOIN messages m ON m.id = ids.id

-- name: render-messages
WITH ids AS MATERIALIZED (SELECT DISTINCT CAST(e.value AS bigint) AS id
    FROM rows(id bigint, try bigint) JOIN segments s ON s.id = rows.id {messages of s})
SELECT m.id, m.application, m.type, m.channels, m.data FROM ids JOIN messages m ON m.id = ids.id

-- name: route-messages
WITH ids AS MATERIALIZED (SELECT DISTINCT CAST(e.value AS bigint) AS id
    FROM rows(id bigint, try bigint) JOIN segments s ON s.id = rows.id {messages of s})
SELECT m.id, m.application, m.type, m.channels, m.send_at, m.expires_at, m.canceled_at, m.collapse_key FROM ids JOIN messages m ON m.id = ids.id

-- name: resolve-users
-- The users that messages name, without any narrowing: the common case, all messages of a page at once.
SELECT rows.message_id, u.id AS user_id, u.locale
FROM rows(message_id bigint, user_id text, before bigint) JOIN users u ON u.id = rows.user_id
WHERE u.deleted_at = 0 AND u.created_at <= rows.before
ORDER BY rows.message_id, u.id

-- name: resolve-page
-- A page of an audience that names merchants, stores or users, in order of id. Kinds of targets: d a dimension, m a merchant
-- with its stores, s a merchant's stores only, u a user; r a role and a an attribute with its value, which narrow. An attribute
-- of a membership in a store is the store's, or else its merchant's.
WITH targets AS MATERIALIZED (SELECT kind, name, value FROM rows(kind text, name text, value text)),
wanted AS MATERIALIZED (SELECT name, value FROM targets WHERE kind = 'a'),
hits AS (
    SELECT ms.user_id, ms.role, ms.dimension, ms.merchant_id FROM targets t CROSS JOIN memberships ms
    WHERE t.kind = 'd' AND ms.dimension = t.name AND ms.user_id > $1
    UNION ALL
    SELECT ms.user_id, ms.role, ms.dimension, ms.merchant_id FROM targets t CROSS JOIN memberships ms
    WHERE t.kind = 'm' AND ms.merchant_id = t.name AND ms.user_id > $1
    UNION ALL
    SELECT ms.user_id, ms.role, ms.dimension, ms.merchant_id FROM targets t CROSS JOIN memberships ms
    WHERE t.kind = 's' AND ms.merchant_id = t.name AND ms.dimension <> 'm:' || t.name AND ms.user_id > $1
    UNION ALL
    SELECT t.name, ms.role, ms.dimension, ms.merchant_id FROM targets t LEFT JOIN memberships ms ON ms.user_id = t.name
    WHERE t.kind = 'u' AND t.name > $1)
SELECT u.id AS user_id, u.locale FROM users u
WHERE u.id IN (SELECT h.user_id FROM hits h
    WHERE (NOT EXISTS (SELECT 1 FROM targets WHERE kind = 'r') OR h.role IN (SELECT name FROM targets WHERE kind = 'r'))
        AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.value <> coalesce(
            (SELECT s.attributes{json} ->> w.name FROM stores s WHERE s.id = substr(h.dimension, 3) AND instr(h.dimension, 's:') = 1),
            (SELECT m.attributes{json} ->> w.name FROM merchants m WHERE m.id = h.merchant_id), '')))
    AND u.deleted_at = 0 AND u.created_at <= $2
ORDER BY u.id LIMIT $3

-- name: count-page
-- The audience between two ids, counted apart from resolve-page: what the balance expects.
WITH targets AS MATERIALIZED (SELECT kind, name, value FROM rows(kind text, name text, value text))
SELECT count(DISTINCT u.id) FROM (
    SELECT ms.user_id AS id, ms.role, ms.dimension, ms.merchant_id FROM targets t CROSS JOIN memberships ms
    WHERE t.kind = 'd' AND ms.dimension = t.name AND ms.user_id > $1 AND ms.user_id <= $2
    UNION ALL
    SELECT ms.user_id, ms.role, ms.dimension, ms.merchant_id FROM targets t CROSS JOIN memberships ms
    WHERE (t.kind = 'm' OR t.kind = 's' AND ms.dimension <> 'm:' || t.name) AND ms.merchant_id = t.name
        AND ms.user_id > $1 AND ms.user_id <= $2
    UNION ALL
    SELECT ms.user_id, ms.role, ms.dimension, ms.merchant_id FROM targets t CROSS JOIN memberships ms
    WHERE t.kind = 'u' AND ms.user_id = t.name AND ms.user_id > $1 AND ms.user_id <= $2) h
JOIN users u ON u.id = h.id
WHERE u.deleted_at = 0 AND u.created_at <= $3 AND ($4 = '' OR instr($4, ',' || h.role || ',') > 0)
    AND ($5 = 0 OR $5 = (SELECT count(*) FROM targets w WHERE w.kind = 'a' AND w.value = coalesce(
        (SELECT s.attributes{json} ->> w.name FROM stores s WHERE h.dimension = 's:' || s.id AND s.id = substr(h.dimension, 3)),
        (SELECT m.attributes{json} ->> w.name FROM merchants m WHERE m.id = h.merchant_id))))

-- name: count-named
-- Users an audience names who have no membership at all: count-page cannot see them.
SELECT count(*) FROM rows(name text) JOIN users u ON u.id = rows.name
WHERE u.id > $1 AND u.id <= $2 AND u.deleted_at = 0 AND u.created_at <= $3
    AND NOT EXISTS (SELECT 1 FROM memberships ms WHERE ms.user_id = u.id)

-- name: resolve-everyone
WITH wanted AS MATERIALIZED (SELECT name, value FROM rows(name text, value text))
SELECT u.id AS user_id, u.locale FROM users u
WHERE u.id > $1 AND u.deleted_at = 0 AND u.created_at <= $2
    AND ($4 = '' AND $5 = 0 OR EXISTS (SELECT 1 FROM memberships ms
        WHERE ms.user_id = u.id AND ($4 = '' OR instr($4, ',' || ms.role || ',') > 0)
            AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.value <> coalesce(
                (SELECT s.attributes{json} ->> w.name FROM stores s WHERE s.id = substr(ms.dimension, 3) AND instr(ms.dimension, 's:') = 1),
                (SELECT m.attributes{json} ->> w.name FROM merchants m WHERE m.id = ms.merchant_id), ''))))
ORDER BY u.id LIMIT $3

-- name: count-everyone
WITH wanted AS MATERIALIZED (SELECT name, value FROM rows(name text, value text))
SELECT count(*) FROM users u
WHERE u.id > $1 AND u.id <= $2 AND u.deleted_at = 0 AND u.created_at <= $3
    AND ($4 = '' AND $5 = 0 OR EXISTS (SELECT 1 FROM memberships ms
        WHERE ms.user_id = u.id AND ($4 = '' OR instr($4, ',' || ms.role || ',') > 0)
            AND $5 = (SELECT count(*) FROM wanted w WHERE w.value = coalesce(
                (SELECT s.attributes{json} ->> w.name FROM stores s WHERE ms.dimension = 's:' || s.id AND s.id = substr(ms.dimension, 3)),
                (SELECT m.attributes{json} ->> w.name FROM merchants m WHERE m.id = ms.merchant_id)))))

-- name: memberships-of
SELECT ms.user_id, ms.dimension, ms.merchant_id, ms.role FROM rows(user_id text) JOIN memberships ms ON ms.user_id = rows.user_id

-- name: attributes-of
-- The attributes of dimensions: of a store its own and its merchant's.
SELECT rows.dimension, coalesce(s.attributes, '{}') AS own, m.attributes AS merchant
FROM rows(dimension text, merchant_id text) JOIN merchants m ON m.id = rows.merchant_id
LEFT JOIN stores s ON s.id = substr(rows.dimension, 3) AND instr(rows.dimension, 's:') = 1

-- name: insert-notifications
INSERT INTO notifications (message_id, user_id, locale, via)
SELECT message_id, user_id, locale, via FROM rows(message_id bigint, user_id text, locale text, via text)

-- name: insert-dimensions
INSERT INTO dimensions (dimension, message_id)
SELECT dimension, message_id FROM rows(dimension text, message_id bigint) WHERE true ON CONFLICT DO NOTHING

-- name: end-acquire
INSERT INTO audiences (message_id, size, reason) SELECT id, size, reason FROM rows(id bigint, size bigint, reason text) WHERE true
ON CONFLICT (message_id) DO UPDATE SET size = excluded.size, reason = excluded.reason

-- name: insert-contents
INSERT INTO contents (message_id, channel, locale, version, title, body, url, reason, detail, segment)
SELECT message_id, channel, locale, version, title, body, url, reason, detail, segment
FROM rows(message_id bigint, channel text, locale text, version bigint, title text, body text, url text, reason text, detail text, segment bigint)

-- name: insert-missing-contents
-- The same, where another segment of the same message may have made some already.
INSERT INTO contents (message_id, channel, locale, version, title, body, url, reason, detail, segment)
SELECT message_id, channel, locale, version, title, body, url, reason, detail, segment
FROM rows(message_id bigint, channel text, locale text, version bigint, title text, body text, url text, reason text, detail text, segment bigint) WHERE true
ON CONFLICT DO NOTHING

-- name: standing-contents
-- What stands after insert-missing-contents, whoever made it.
SELECT c.message_id, c.channel, c.locale, c.version, c.title, c.body, c.url, c.reason, c.detail
FROM rows(message_id bigint, channel text, locale text)
JOIN contents c ON c.message_id = rows.message_id AND c.channel = rows.channel AND c.locale = rows.locale

-- name: route-contents
WITH ids AS MATERIALIZED (SELECT DISTINCT CAST(e.value AS bigint) AS id
    FROM rows(id bigint, try bigint) JOIN segments s ON s.id = rows.id {messages of s})
SELECT c.message_id, c.channel, c.locale, c.reason, CASE WHEN c.channel = 'sms' THEN c.body ELSE '' END AS text FROM ids JOIN contents c ON c.message_id = ids.id
ORDER BY c.message_id, c.channel, c.locale

-- name: vias
SELECT n.message_id, n.user_id, n.via FROM rows(message_id bigint, user_id text)
JOIN notifications n ON n.message_id = rows.message_id AND n.user_id = rows.user_id

-- name: address-channels
SELECT a.user_id, a.channel FROM rows(user_id text) JOIN addresses a ON a.user_id = rows.user_id

-- name: insert-deliveries
INSERT INTO deliveries (message_id, user_id, channel, application, lane, state, reason, decided, locale, due_at, number, expires_at, segment, changed_at)
SELECT message_id, user_id, channel, $1, $2, state, reason, decided, locale, nullif(due_at, 0), number, expires_at, $3, now_us()
FROM rows(message_id bigint, user_id text, channel text, state text, reason text, decided text, locale text, due_at bigint, number bigint, expires_at bigint)

-- name: lock-web
-- The web deliveries of a segment with all that an entry of the inbox shows. The message is asked whether it is canceled: a
-- cancel may have come between the release of what waited and this.
SELECT d.message_id, d.user_id, d.state, d.number, CASE WHEN d.expires_at <= now_us() THEN 1 ELSE 0 END AS expired,
    CASE WHEN m.canceled_at <> 0 THEN 1 ELSE 0 END AS canceled, m.application, m.type, m.accepted_at, n.via,
    coalesce(c.title, '') AS title, coalesce(c.body, '') AS body, coalesce(c.url, '') AS url,
    CASE WHEN m.collapse_key <> '' AND EXISTS (SELECT 1 FROM types t
        WHERE t.application = m.application AND t.name = m.type AND instr(t.spec, '"replace":true') > 0) THEN 1 ELSE 0 END AS replaces
FROM rows(message_id bigint, user_id text) JOIN deliveries d
    ON d.message_id = rows.message_id AND d.user_id = rows.user_id AND d.channel = 'web'
JOIN messages m ON m.id = rows.message_id
JOIN notifications n ON n.message_id = rows.message_id AND n.user_id = rows.user_id
LEFT JOIN contents c ON c.message_id = rows.message_id AND c.channel = 'web' AND c.locale = d.locale {lock d}

-- name: canceled-messages
-- Those of messages that were taken back since they were read, which was a few minutes ago at the most. Mostly nobody has
-- taken back anything in that time, and then one look at the end of an index is all that it costs.
SELECT m.id FROM rows(id bigint) JOIN messages m ON m.id = rows.id
WHERE m.canceled_at <> 0 AND (SELECT max(canceled_at) FROM messages WHERE canceled_at <> 0) > now_us() - 300000000

-- name: lock-inboxes
-- In order of id, like every writer, so that two of them never wait for each other.
SELECT i.user_id, i.head FROM rows(user_id text) JOIN inboxes i ON i.user_id = rows.user_id
JOIN users u ON u.id = rows.user_id AND u.deleted_at = 0 ORDER BY i.user_id {lock i}

-- name: number-web
UPDATE deliveries SET state = 'sent', reason = '', number = rows.number, changed_at = now_us()
FROM rows(message_id bigint, user_id text, number bigint)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = 'web' AND deliveries.state = 'queued'

-- name: end-web
UPDATE deliveries SET state = rows.next, reason = rows.why, changed_at = now_us()
FROM rows(message_id bigint, user_id text, next text, why text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = 'web' AND deliveries.state = 'queued'

-- name: insert-inbox
INSERT INTO inbox (user_id, number, message_id) SELECT user_id, number, message_id FROM rows(user_id text, number bigint, message_id bigint)

-- name: raise-heads
UPDATE inboxes SET head = rows.head FROM rows(user_id text, head bigint) WHERE inboxes.user_id = rows.user_id
