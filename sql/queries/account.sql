-- People and their sessions.

-- name: create-account
INSERT INTO accounts (id, name, role, application, locale, state, hash, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now_us(), now_us())

-- name: lock-account
SELECT id, name, role, application, locale, state, hash, created_at, signed_in_at FROM accounts WHERE id = $1 {lock}

-- name: account
SELECT id, name, role, application, locale, state, hash, created_at, signed_in_at FROM accounts WHERE id = $1

-- name: accounts
SELECT id, name, role, application, locale, state, hash, created_at, signed_in_at FROM accounts ORDER BY id

-- name: update-account
UPDATE accounts SET name = $2, role = $3, application = $4, locale = $5, state = $6, hash = $7, changed_at = now_us() WHERE id = $1

-- name: signed-in
UPDATE accounts SET signed_in_at = now_us() WHERE id = $1

-- name: adopt-account
-- A developer without an application becomes its developer.
UPDATE accounts SET application = $2, changed_at = now_us() WHERE id = $1 AND role = 'developer' AND application = ''

-- name: end-sessions
DELETE FROM sessions WHERE account = $1

-- name: insert-session
INSERT INTO sessions (hash, account, credential, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $4, $5)

-- name: session
SELECT hash, account, credential, created_at, seen_at, expires_at FROM sessions WHERE hash = $1

-- name: session-seen
UPDATE sessions SET seen_at = $2 WHERE hash = $1

-- name: end-session
DELETE FROM sessions WHERE hash = $1

-- name: forget-sessions
DELETE FROM sessions WHERE expires_at < $1
