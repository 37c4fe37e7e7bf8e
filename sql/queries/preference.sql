-- What users want to be sent.

-- name: preferred
SELECT application, type FROM preferred

-- name: preferences-of
SELECT p.user_id, p.application, p.type, p.channel, p.muted, p.quiet
FROM rows(user_id text) JOIN preferences p ON p.user_id = rows.user_id WHERE p.application IN ('', $1)

-- name: preferences
SELECT user_id, application, type, channel, muted, quiet FROM preferences WHERE user_id = $1 ORDER BY application, type, channel

-- name: lock-user
SELECT id FROM users WHERE id = $1 AND deleted_at = 0 {lock}

-- name: drop-preferences
DELETE FROM preferences WHERE user_id = $1

-- name: insert-preferences
INSERT INTO preferences (user_id, application, type, channel, muted, quiet, changed_by, changed_at)
SELECT $1, application, type, channel, muted, quiet, $2, now_us()
FROM rows(application text, type text, channel text, muted bigint, quiet text)

-- name: insert-preferred
INSERT INTO preferred (application, type) SELECT application, type FROM rows(application text, type text) WHERE true ON CONFLICT DO NOTHING

-- name: waiting-of-user
-- What waits to be sent to a user, to be asked again when he changes what he wants.
SELECT d.message_id, d.channel, m.application, m.type, t.spec
FROM notifications n JOIN messages m ON m.id = n.message_id JOIN types t ON t.application = m.application AND t.name = m.type
JOIN deliveries d ON d.message_id = n.message_id AND d.user_id = n.user_id
WHERE n.user_id = $1 AND m.expires_at > now_us() AND d.state IN ('held', 'queued')

-- name: mute-waiting
UPDATE deliveries SET state = 'suppressed', reason = 'muted', due_at = NULL, changed_at = now_us(),
    decided = CASE WHEN decided = '' THEN '' ELSE decided || $2 END || 'muted stopped muted meanwhile'
FROM rows(message_id bigint, channel text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = $1 AND deliveries.channel = rows.channel
    AND deliveries.state IN ('held', 'queued')

-- name: types-met
-- The message types that reached a user lately.
SELECT t.spec, a.name FROM (
    SELECT DISTINCT m.application, m.type FROM (
        SELECT message_id FROM notifications WHERE user_id = $1 ORDER BY message_id DESC LIMIT 1000) n
    JOIN messages m ON m.id = n.message_id) met
JOIN types t ON t.application = met.application AND t.name = met.type JOIN applications a ON a.id = met.application
ORDER BY met.application, met.type
