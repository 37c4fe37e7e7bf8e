-- The directory: merchants, stores, users, their memberships and addresses. What is deleted keeps its row as a tombstone.

-- name: put-merchants
INSERT INTO merchants (id, name, attributes, created_at, changed_at)
SELECT id, name, attributes, now_us(), now_us() FROM rows(id text, name text, attributes text) WHERE true
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, attributes = excluded.attributes, changed_at = excluded.changed_at, deleted_at = 0

-- name: put-stores
INSERT INTO stores (id, merchant_id, name, region, timezone, hours, holidays, attributes, created_at, changed_at)
SELECT id, merchant_id, name, region, timezone, hours, holidays, attributes, now_us(), now_us()
FROM rows(id text, merchant_id text, name text, region text, timezone text, hours text, holidays text, attributes text) WHERE true
ON CONFLICT (id) DO UPDATE
SET merchant_id = excluded.merchant_id, name = excluded.name, region = excluded.region, timezone = excluded.timezone,
    hours = excluded.hours, holidays = excluded.holidays, attributes = excluded.attributes, changed_at = excluded.changed_at, deleted_at = 0

-- name: move-memberships
-- A store that went to another merchant takes its members along.
UPDATE memberships SET merchant_id = rows.merchant_id FROM rows(dimension text, merchant_id text)
WHERE memberships.dimension = rows.dimension AND memberships.merchant_id <> rows.merchant_id

-- name: put-users
INSERT INTO users (id, name, locale, created_at, changed_at)
SELECT id, name, locale, now_us(), now_us() FROM rows(id text, name text, locale text) WHERE true
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, locale = excluded.locale, changed_at = excluded.changed_at, deleted_at = 0

-- name: put-inboxes
INSERT INTO inboxes (user_id) SELECT id FROM rows(id text) WHERE true ON CONFLICT (user_id) DO NOTHING

-- name: delete-memberships-of
DELETE FROM memberships WHERE user_id IN (SELECT id FROM rows(id text))

-- name: put-memberships
INSERT INTO memberships (user_id, dimension, merchant_id, role)
SELECT user_id, dimension, merchant_id, role FROM rows(user_id text, dimension text, merchant_id text, role text)

-- name: lock-merchants
-- Locked, so that none is deleted before what refers to it is written.
SELECT id FROM merchants WHERE deleted_at = 0 AND id IN (SELECT id FROM rows(id text)) ORDER BY id {lock}

-- name: lock-stores
SELECT id, merchant_id FROM stores WHERE deleted_at = 0 AND id IN (SELECT id FROM rows(id text)) ORDER BY id {lock}

-- name: lock-users
SELECT id FROM users WHERE deleted_at = 0 AND id IN (SELECT id FROM rows(id text)) ORDER BY id {lock}

-- name: put-addresses
INSERT INTO addresses (user_id, channel, value, blind, provider, platform, changed_at)
SELECT user_id, channel, value, blind, provider, platform, now_us()
FROM rows(user_id text, channel text, value text, blind text, provider text, platform text)

-- name: delete-merchants
UPDATE merchants SET deleted_at = now_us(), changed_at = now_us() WHERE id IN (SELECT id FROM rows(id text)) AND deleted_at = 0

-- name: delete-stores-of
UPDATE stores SET deleted_at = now_us(), changed_at = now_us() WHERE merchant_id IN (SELECT id FROM rows(id text)) AND deleted_at = 0

-- name: delete-stores
UPDATE stores SET deleted_at = now_us(), changed_at = now_us() WHERE id IN (SELECT id FROM rows(id text)) AND deleted_at = 0

-- name: delete-users
UPDATE users SET deleted_at = now_us(), changed_at = now_us() WHERE id IN (SELECT id FROM rows(id text)) AND deleted_at = 0

-- name: touch-users-of-merchants
UPDATE users SET changed_at = now_us()
WHERE id IN (SELECT ms.user_id FROM rows(id text) CROSS JOIN memberships ms WHERE ms.merchant_id = rows.id)

-- name: touch-users-of-stores
UPDATE users SET changed_at = now_us()
WHERE id IN (SELECT ms.user_id FROM rows(id text) CROSS JOIN memberships ms WHERE ms.dimension = 's:' || rows.id)

-- name: delete-memberships-of-merchants
DELETE FROM memberships WHERE merchant_id IN (SELECT id FROM rows(id text))

-- name: delete-memberships-of-stores
DELETE FROM memberships WHERE dimension IN (SELECT 's:' || id FROM rows(id text))

-- name: delete-addresses-of
DELETE FROM addresses WHERE user_id IN (SELECT id FROM rows(id text))

-- name: merchant
SELECT id, name, attributes FROM merchants WHERE id = $1 AND deleted_at = 0

-- name: merchants
SELECT id, name, attributes FROM merchants WHERE id > $1 AND deleted_at = 0 ORDER BY id LIMIT $2

-- name: store
SELECT id, merchant_id, name, region, timezone, hours, holidays, attributes FROM stores WHERE id = $1 AND deleted_at = 0

-- name: stores
SELECT id, merchant_id, name, region, timezone, hours, holidays, attributes FROM stores
WHERE id > $1 AND deleted_at = 0 ORDER BY id LIMIT $2

-- name: stores-of
SELECT id, merchant_id, name, region, timezone, hours, holidays, attributes FROM stores
WHERE merchant_id = $1 AND id > $2 AND deleted_at = 0 ORDER BY id LIMIT $3

-- name: user
SELECT id, name, locale FROM users WHERE id = $1 AND deleted_at = 0

-- name: users
SELECT id, name, locale FROM users WHERE id > $1 AND deleted_at = 0 ORDER BY id LIMIT $2

-- name: memberships-of-users
SELECT user_id, dimension, role FROM memberships WHERE user_id IN (SELECT id FROM rows(id text)) ORDER BY user_id, dimension

-- name: dimensions-of
SELECT dimension FROM memberships WHERE user_id = $1 ORDER BY dimension
