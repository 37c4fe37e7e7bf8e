-- Applications, keys, message types and templates.

-- name: create-application
INSERT INTO applications (id, name, owner, state, origins, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, now_us(), now_us())

-- name: application
SELECT id, name, owner, state, origins FROM applications WHERE id = $1

-- name: applications
SELECT id, name, owner, state, origins FROM applications ORDER BY id

-- name: set-application-state
UPDATE applications SET state = $2, changed_at = now_us() WHERE id = $1

-- name: create-key
INSERT INTO keys (id, kind, application, dimension, role, name, scopes, hash, last4, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now_us())

-- name: key
SELECT id, kind, application, dimension, role, name, scopes, hash, last4, created_at, expires_at, revoked_at
FROM keys WHERE id = $1

-- name: keys
SELECT id, kind, application, dimension, role, name, scopes, hash, last4, created_at, expires_at, revoked_at
FROM keys WHERE $1 = '' OR application = $1 ORDER BY created_at, id

-- name: revoke-key
UPDATE keys SET revoked_at = CASE WHEN revoked_at = 0 THEN now_us() ELSE revoked_at END
WHERE id = $2 AND ($1 = '' OR application = $1)

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
INSERT INTO templates (application, type, channel, locale, version, state, title, body, url, created_at, changed_at)
SELECT $1, $2, $3, $4, coalesce(max(version), 0) + 1, 'draft', $5, $6, $7, now_us(), now_us()
FROM templates WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4
RETURNING application, type, channel, locale, version, state, title, body, url, created_at

-- name: retire-template
UPDATE templates SET state = 'retired', changed_at = now_us()
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version <> $5 AND state = 'published'

-- name: publish-template
UPDATE templates SET state = 'published', changed_at = now_us()
WHERE application = $1 AND type = $2 AND channel = $3 AND locale = $4 AND version = $5
RETURNING application, type, channel, locale, version, state, title, body, url, created_at

-- name: templates
SELECT application, type, channel, locale, version, state, title, body, url, created_at FROM templates
WHERE application = $1 AND type = $2 ORDER BY channel, locale, version

-- name: published-templates
SELECT application, type, channel, locale, version, state, title, body, url, created_at FROM templates
WHERE application = $1 AND type = $2 AND state = 'published' ORDER BY channel, locale
