-- The audit log. Whoever appends to it takes its counter first and keeps that to the end of his transaction.

-- name: audit-next
UPDATE counters SET value = value + 1 WHERE name = 'audit' RETURNING value AS number, now_us() AS at

-- name: audit-last
SELECT value FROM settings WHERE name = 'audit'

-- name: audit-head
SELECT c.value AS number, s.value AS hash FROM counters c JOIN settings s ON s.name = c.name WHERE c.name = 'audit'

-- name: set-audit-last
UPDATE settings SET value = $1 WHERE name = 'audit'

-- name: append-change
INSERT INTO audit_log (number, at, actor, key, via, action, object, detail, previous, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: changes
SELECT number, at, actor, key, via, action, object, detail, previous, hash FROM audit_log
WHERE ($1 = '' OR actor = $1) AND ($2 = '' OR action = $2 OR substr(action, 1, length($2) + 1) = $2 || '.')
    AND ($3 = '' OR substr(object, 1, length($3)) = $3) AND at >= $4 AND number < $5
ORDER BY number DESC LIMIT $6

-- name: changes-from
SELECT number, at, actor, key, via, action, object, detail, previous, hash FROM audit_log WHERE number > $1 ORDER BY number LIMIT $2
