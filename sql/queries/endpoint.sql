-- Endpoints of applications and their events.

-- name: endpoints
SELECT id, application, name, url, events, secret, old_secret, old_until, state, reason, created_at, changed_at, failures, failing_since,
    succeeded_at, called_at, next_at, error, CASE WHEN old_until > now_us() THEN 1 ELSE 0 END AS overlaps
FROM endpoints WHERE application = $1 AND (CAST($2 AS bigint) = 0 OR id = CAST($2 AS bigint)) ORDER BY id

-- name: lock-endpoint
SELECT id, application, name, url, events, secret, old_secret, old_until, state, reason, created_at, changed_at, failures, failing_since,
    succeeded_at, called_at, next_at, error, CASE WHEN old_until > now_us() THEN 1 ELSE 0 END AS overlaps
FROM endpoints WHERE application = $1 AND id = $2 {lock}

-- name: count-events
SELECT state, count(*) AS n FROM events WHERE endpoint = $1 AND state <> 'delivered' GROUP BY state

-- name: create-endpoint
INSERT INTO endpoints (id, application, name, url, events, secret, state, created_at, changed_at, watched_from)
VALUES ($1, $2, $3, $4, $5, $6, 'active', now_us(), now_us(), now_us())

-- name: change-endpoint
-- What it was not told of before is no fault: the balance looks from the change on. One that is enabled, or that
-- stands at another URL now, begins with a clean slate.
UPDATE endpoints SET name = $2, url = $3, events = $4, secret = $5, old_secret = $6, old_until = CASE WHEN CAST($7 AS bigint) = 0 THEN old_until ELSE now_us() + CAST($7 AS bigint) END,
    reason = $9, changed_at = now_us(), watched_from = CASE WHEN events = $4 AND state = $8 THEN watched_from ELSE now_us() END,
    failures = CASE WHEN state = $8 AND url = $3 THEN failures ELSE 0 END, failing_since = CASE WHEN state = $8 AND url = $3 THEN failing_since ELSE 0 END,
    next_at = CASE WHEN state = $8 AND url = $3 THEN next_at ELSE 0 END, state = $8
WHERE id = $1

-- name: delete-endpoint
DELETE FROM endpoints WHERE application = $1 AND id = $2

-- name: restart-events
-- What waits for an endpoint that is enabled again gets its whole time once more.
UPDATE events SET due_at = now_us(), until_at = now_us() + $2, calls = 0 WHERE endpoint = $1 AND due_at IS NOT NULL

-- name: lock-watch
SELECT value FROM settings WHERE name = 'watch' {lock}

-- name: set-watch
UPDATE settings SET value = $1 WHERE name = 'watch'

-- name: watched
SELECT application, events FROM endpoints WHERE state = 'active' ORDER BY application, id

-- name: due-endpoints
SELECT e.id FROM endpoints e WHERE e.state = 'active' AND e.next_at <= now_us()
    AND (SELECT min(x.due_at) FROM events x WHERE x.endpoint = e.id AND x.due_at IS NOT NULL) <= now_us()
ORDER BY e.id

-- name: endpoint-to-call
SELECT id, application, name, url, events, secret, old_secret, old_until, state, reason, created_at, changed_at, failures, failing_since,
    succeeded_at, called_at, next_at, error, CASE WHEN old_until > now_us() THEN 1 ELSE 0 END AS overlaps
FROM endpoints WHERE id = $1 AND state = 'active' AND next_at <= now_us()

-- name: due-events
SELECT id, endpoint, application, type, message_id, message_type, user_id, channel, reason, subject, at, state, calls, claim, coalesce(due_at, 0) AS due_at, until_at,
    called_at, status, error
FROM events WHERE endpoint = $1 AND due_at IS NOT NULL AND due_at <= (SELECT now_us()) ORDER BY due_at, id LIMIT $2 {lock skip}

-- name: claim-events
-- Until the lease ends nobody else takes them; a worker that died in its call leaves them to the next one.
UPDATE events SET claim = events.claim + 1, calls = events.calls + 1, due_at = now_us() + $1 FROM rows(id bigint) WHERE events.id = rows.id

-- name: end-events
UPDATE events SET state = CASE WHEN rows.ok = 1 THEN 'delivered' WHEN events.until_at <= now_us() THEN 'failed' ELSE 'pending' END,
    due_at = CASE WHEN rows.ok = 1 OR events.until_at <= now_us() THEN NULL
        WHEN now_us() + rows.retry < events.until_at THEN now_us() + rows.retry ELSE events.until_at END,
    called_at = now_us(), status = rows.status, error = rows.error
FROM rows(id bigint, claim bigint, ok bigint, status bigint, error text, retry bigint)
WHERE events.id = rows.id AND events.claim = rows.claim AND events.due_at IS NOT NULL

-- name: endpoint-succeeded
UPDATE endpoints SET failures = 0, failing_since = 0, next_at = 0, error = '', succeeded_at = now_us(), called_at = now_us() WHERE id = $1

-- name: endpoint-failed
UPDATE endpoints SET failures = failures + 1, failing_since = CASE WHEN failing_since = 0 THEN now_us() ELSE failing_since END, called_at = now_us(), error = $2
WHERE id = $1
RETURNING failures, CASE WHEN failing_since + $3 <= now_us() THEN 1 ELSE 0 END AS failing

-- name: rest-endpoint
UPDATE endpoints SET next_at = now_us() + $2 WHERE id = $1

-- name: lock-failing
SELECT application, CASE WHEN failing_since > 0 AND failing_since + $2 <= now_us() THEN 1 ELSE 0 END AS failing
FROM endpoints WHERE id = $1 AND state = 'active' {lock}

-- name: disable-endpoint
UPDATE endpoints SET state = 'disabled', reason = $2, changed_at = now_us() WHERE id = $1

-- name: note-disabled
INSERT INTO events (endpoint, application, type, reason, subject, at, due_at, until_at)
SELECT e.id, e.application, 'endpoint.disabled', $3, $2, now_us(), now_us(), now_us() + $4
FROM endpoints e WHERE e.application = $1 AND e.id <> $2 AND e.state = 'active' AND instr(e.events, ',endpoint.disabled,') > 0

-- name: note-test
INSERT INTO events (endpoint, application, type, at, due_at, until_at)
SELECT id, application, 'endpoint.test', now_us(), now_us(), now_us() + $3 FROM endpoints WHERE application = $1 AND id = $2 AND state = 'active'
RETURNING id

-- name: hurry-endpoint
UPDATE endpoints SET next_at = 0 WHERE application = $1 AND id = $2

-- name: replay-events
UPDATE events SET state = 'pending', due_at = now_us(), until_at = now_us() + $5, calls = 0
WHERE endpoint = $1 AND at >= $2 AND at < $3 AND due_at IS NULL AND ($4 = '' OR state = $4)

-- name: events-older
SELECT id, endpoint, application, type, message_id, message_type, user_id, channel, reason, subject, at, state, calls, claim, coalesce(due_at, 0) AS due_at, until_at,
    called_at, status, error
FROM events WHERE endpoint = $1 AND ($2 = '' OR state = $2) AND id < $3 ORDER BY id DESC LIMIT $4

-- name: events-newer
SELECT id, endpoint, application, type, message_id, message_type, user_id, channel, reason, subject, at, state, calls, claim, coalesce(due_at, 0) AS due_at, until_at,
    called_at, status, error
FROM events WHERE endpoint = $1 AND ($2 = '' OR state = $2) AND id > $3 ORDER BY id LIMIT $4

-- name: forget-events
DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT $2) AND at < now_us() - $1

-- name: reseal-endpoint
UPDATE endpoints SET secret = $4, old_secret = $5 WHERE id = $1 AND secret = $2 AND old_secret = $3

-- name: all-endpoints
SELECT id, secret, old_secret FROM endpoints ORDER BY id
