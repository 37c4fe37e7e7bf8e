-- What caps, dedup windows and collapse keys look back on.

-- name: remembered
SELECT r.user_id, r.what, r.message_id, r.channel, r.at, d.state, now_us() AS now
FROM rows(user_id text, what text) JOIN remembered r ON r.user_id = rows.user_id AND r.what = rows.what
JOIN deliveries d ON d.message_id = r.message_id AND d.user_id = r.user_id AND d.channel = r.channel
WHERE r.until > now_us()

-- name: insert-remembered
INSERT INTO remembered (user_id, what, message_id, channel, at, until)
SELECT user_id, what, message_id, channel, at, until
FROM rows(user_id text, what text, message_id bigint, channel text, at bigint, until bigint) WHERE true ON CONFLICT DO NOTHING

-- name: forget-remembered
DELETE FROM remembered WHERE until < (SELECT now_us())

-- name: collapse-waiting
-- One that another transaction has in hand is leaving, and is not taken back: to wait for it could be a deadlock.
UPDATE deliveries SET state = 'canceled', reason = 'collapsed', due_at = NULL, changed_at = now_us(),
    decided = CASE WHEN decided = '' THEN '' ELSE decided || $1 END || 'collapse stopped collapsed a newer one replaces it'
FROM (SELECT d.message_id, d.user_id, d.channel FROM rows(message_id bigint, user_id text, channel text) CROSS JOIN deliveries d
    WHERE d.message_id = rows.message_id AND d.user_id = rows.user_id AND d.channel = rows.channel AND d.state IN ('held', 'queued') {lock d skip}) older
WHERE deliveries.message_id = older.message_id AND deliveries.user_id = older.user_id AND deliveries.channel = older.channel

-- name: replace-entries
-- The user has them in the inbox, or soon will. Their numbers stay; what a page reads from now on says that they are gone.
UPDATE deliveries SET reason = 'collapsed', changed_at = now_us()
FROM (SELECT d.message_id, d.user_id FROM rows(message_id bigint, user_id text) CROSS JOIN deliveries d
    WHERE d.message_id = rows.message_id AND d.user_id = rows.user_id AND d.channel = 'web' AND d.state IN ('sent', 'delivered') {lock d skip}) older
WHERE deliveries.message_id = older.message_id AND deliveries.user_id = older.user_id AND deliveries.channel = 'web'

-- name: distrust-users
-- What comet keeps of their lists is not believed any more: it watches this.
UPDATE users SET changed_at = now_us() WHERE id IN (SELECT user_id FROM rows(user_id text))

-- name: message-data
SELECT m.id, m.data FROM rows(id bigint) JOIN messages m ON m.id = rows.id
