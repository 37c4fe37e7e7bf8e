-- Applications, keys, message types and templates.

-- name: create-application
INSERT INTO applications (id, name, owner, state, origins, purpose, channels, volume, comment, applied_by, decided_by, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now_us(), now_us())

-- name: apply-again
-- One who was rejected may apply again, with other words.
UPDATE applications SET name = $2, owner = $3, state = 'applied', origins = $4, purpose = $5, channels = $6, volume = $7, decided_by = '', changed_at = now_us()
WHERE id = $1 AND state = 'rejected' AND applied_by = $8

-- name: edit-application
UPDATE applications SET name = $2, owner = $3, origins = $4, purpose = $5, channels = $6, volume = $7, changed_at = now_us() WHERE id = $1

-- name: application
SELECT id, name, owner, state, origins, purpose, channels, volume, comment, applied_by, decided_by FROM applications WHERE id = $1

-- name: lock-application
SELECT id, name, owner, state, origins, purpose, channels, volume, comment, applied_by, decided_by FROM applications WHERE id = $1 {lock}

-- name: applications
SELECT id, name, owner, state, origins, purpose, channels, volume, comment, applied_by, decided_by FROM applications ORDER BY id

-- name: decide-application
-- Nobody decides on his own application.
UPDATE applications SET state = $2, comment = $3, decided_by = $4, changed_at = now_us()
WHERE id = $1 AND state = 'applied' AND applied_by <> $4

-- name: set-application-state
UPDATE applications SET state = $2, changed_at = now_us() WHERE id = $1 AND state IN ('active', 'suspended')

-- name: suspended-applications
SELECT id FROM applications WHERE state = 'suspended'

-- name: share-suspended
-- Read before anything is held for it: a resume that is under way is waited for, and one that comes waits for us and sees what we held.
SELECT id FROM applications WHERE state = 'suspended' {share}

-- name: release-suspended
UPDATE deliveries SET due_at = now_us() WHERE due_at IS NOT NULL AND state = 'held' AND reason = 'suspended' AND application = $1

-- name: release-suspended-digests
UPDATE digest_items SET due_at = now_us() FROM deliveries d
WHERE digest_items.digest = 0 AND digest_items.application = $1 AND d.message_id = digest_items.message_id AND d.user_id = digest_items.user_id
    AND d.channel = digest_items.channel AND d.state = 'held' AND d.reason = 'suspended'

-- name: release-suspended-steps
UPDATE escalations SET due_at = now_us() FROM messages m
WHERE escalations.due_at IS NOT NULL AND escalations.state = 'held' AND escalations.reason = 'suspended' AND m.id = escalations.message_id AND m.application = $1

-- name: wake-resumed
-- What was held for an application that is suspended no more.
UPDATE deliveries SET due_at = now_us() FROM rows(message_id bigint, user_id text, channel text)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = rows.channel
    AND deliveries.state = 'held' AND deliveries.reason = 'suspended'
    AND NOT EXISTS (SELECT 1 FROM applications a WHERE a.id = deliveries.application AND a.state = 'suspended')

-- name: create-key
INSERT INTO keys (id, kind, application, dimension, role, account, made_by, name, scopes, types, channels, hash, last4, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now_us())

-- name: active-keys
SELECT count(*) FROM keys WHERE application = $1 AND kind = 'application' AND revoked_at = 0 AND (expires_at = 0 OR expires_at > now_us())

-- name: key
SELECT id, kind, application, dimension, role, account, made_by, name, scopes, types, channels, hash, last4, created_at, expires_at, revoked_at, last_used
FROM keys WHERE id = $1

-- name: keys
SELECT id, kind, application, dimension, role, account, made_by, name, scopes, types, channels, hash, last4, created_at, expires_at, revoked_at, last_used
FROM keys WHERE $1 = '' OR application = $1 ORDER BY created_at, id

-- name: account-keys
SELECT id, kind, application, dimension, role, account, made_by, name, scopes, types, channels, hash, last4, created_at, expires_at, revoked_at, last_used
FROM keys WHERE account = $1 ORDER BY created_at, id

-- name: revoke-key
UPDATE keys SET revoked_at = CASE WHEN revoked_at = 0 THEN now_us() ELSE revoked_at END
WHERE id = $2 AND ($1 = '' OR application = $1)

-- name: keys-used
UPDATE keys SET last_used = rows.at FROM rows(id text, at bigint) WHERE keys.id = rows.id AND keys.last_used < rows.at

-- name: put-type
INSERT INTO types (application, name, spec, changed_at) VALUES ($1, $2, $3, now_us())
ON CONFLICT (application, name) DO UPDATE SET spec = excluded.spec, changed_at = excluded.changed_at

-- name: type
SELECT spec FROM types WHERE application = $1 AND name = $2

-- name: types
SELECT spec FROM types WHERE application = $1 ORDER BY name

-- name: lock-type
-- Whoever writes versions of a type's templates waits here for his turn.
SELECT name FROM types WHERE application = $1 AND name = $2 {lock}

-- name: create-template
INSERT INTO templates (application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at, changed_at)
SELECT $1, $2, $3, $4, coalesce(max(version), 0) + 1, 'draft', $5, $6, $7, $8, $9, 100, $10, '', '', now_us(), now_us()
FROM templates WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4
RETURNING application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at

-- name: template
SELECT application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at FROM templates
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version = $5

-- name: submit-template
UPDATE templates SET state = 'submitted', changed_at = now_us()
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version = $5 AND state = 'draft'
RETURNING application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at

-- name: review-template
-- Two pairs of eyes: the author's are none of the reviewer's.
UPDATE templates SET state = $6, reviewer = $7, comment = $8, changed_at = now_us()
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version = $5 AND state = 'submitted' AND author <> $7
RETURNING application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at

-- name: submitted-templates
SELECT application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at FROM templates WHERE state = 'submitted' AND ($1 = '' OR application = $1) ORDER BY changed_at

-- name: published-versions
SELECT application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at FROM templates
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND state = 'published' ORDER BY percent

-- name: version-before
-- The one that left force last, of those that were once in force for all stores: a version that was rolled back stays behind.
SELECT version FROM templates
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version < $5 AND state = 'retired' AND wholly = 1
ORDER BY changed_at DESC, version DESC LIMIT 1

-- name: retire-template
UPDATE templates SET state = 'retired', percent = 100, changed_at = now_us()
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version <> $5 AND state = 'published' AND percent <= $6

-- name: publish-template
UPDATE templates SET state = 'published', percent = $6, changed_at = now_us(), wholly = CASE WHEN CAST($6 AS bigint) = 100 THEN 1 ELSE wholly END
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version = $5
RETURNING application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at

-- name: templates
SELECT application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at FROM templates
WHERE application = $1 AND type = $2 ORDER BY channel, locale, version

-- name: published-templates
-- The one for a part of the stores before the one for all.
SELECT application, type, channel, locale, version, state, title, body, url, provider_code, signature, percent, author, reviewer, comment, created_at FROM templates
WHERE application = $1 AND type = $2 AND state = 'published' ORDER BY channel, locale, percent

-- name: discard-deliveries
-- What waits is found through its due time or through the open segments that it is in. The content of a version for a part of
-- the stores has a locale that goes on behind an @.
UPDATE deliveries SET state = 'canceled', reason = 'discarded', due_at = NULL, changed_at = now_us()
WHERE channel = $3 AND state IN ('held', 'queued') AND application = $1
    AND message_id IN (SELECT w.message_id FROM deliveries w WHERE w.due_at IS NOT NULL AND w.application = $1 UNION SELECT id FROM open_messages)
    AND EXISTS (SELECT 1 FROM contents c JOIN messages m ON m.id = c.message_id
        WHERE c.message_id = deliveries.message_id AND c.channel = $3 AND c.locale = deliveries.locale AND c.version = $5
            AND m.type = $2 AND (c.locale = $4 OR instr(c.locale, $4 || '@') = 1))

-- name: recent-data
-- The data of the last messages of a type, looked for among the last few thousand of the application.
SELECT m.id, m.data FROM (SELECT id, type, data FROM messages WHERE application = $1 ORDER BY id DESC LIMIT 5000) m
WHERE m.type = $2 ORDER BY m.id DESC LIMIT $3
