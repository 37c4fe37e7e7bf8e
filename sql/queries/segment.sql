-- A segment is looked up by its id, and then finished_at is compared with coalesce: "IS NULL" would let PostgreSQL take the
-- partial index segments_open, which holds an entry of every segment that was open since the last vacuum.

-- name: segments
SELECT s.id, s.items, now_us() AS now FROM rows(id bigint, try bigint) JOIN segments s ON s.id = rows.id
WHERE s.try = rows.try AND coalesce(s.finished_at, 0) = 0

-- name: lock-segments
SELECT s.id, s.items, now_us() AS now FROM rows(id bigint, try bigint) JOIN segments s ON s.id = rows.id
WHERE s.try = rows.try AND coalesce(s.finished_at, 0) = 0 {lock s}

-- name: end-segments
UPDATE segments SET finished_at = now_us(), children = rows.children, planned = rows.planned
FROM rows(id bigint, try bigint, children bigint, planned bigint)
WHERE segments.id = rows.id AND segments.try = rows.try AND coalesce(segments.finished_at, 0) = 0

-- name: set-planned
UPDATE segments SET planned = $2 WHERE id = $1

-- name: finish-segments
UPDATE segments SET finished_at = now_us() FROM rows(id bigint, claim bigint)
WHERE segments.id = rows.id AND segments.claim = rows.claim AND coalesce(segments.finished_at, 0) = 0

-- name: claim-segment
UPDATE segments SET claim = $3, claim_until = now_us() + $4, touched_at = now_us()
WHERE id = $1 AND try = $2 AND coalesce(finished_at, 0) = 0 AND claim_until < now_us()
RETURNING items, now_us() AS now

-- name: extend-claim
UPDATE segments SET claim_until = now_us() + $3, touched_at = now_us()
WHERE id = $1 AND claim = $2 AND coalesce(finished_at, 0) = 0 AND claim_until > now_us()

-- name: release-claim
UPDATE segments SET claim_until = 0, touched_at = 0 WHERE id = $1 AND claim = $2 AND coalesce(finished_at, 0) = 0

-- name: lost-segments
-- Open segments that nobody has touched within the grace: of each lane the oldest, so that none is hidden behind another's backlog, and
-- of these one of each application in turn.
SELECT id, parent, batch, lane, application, stage, channel, part, size, broadcast, try, touched_at
FROM (SELECT s.*, row_number() OVER (PARTITION BY lane, application ORDER BY touched_at, id) AS turn
      FROM (SELECT * FROM (SELECT id, parent, batch, lane, application, stage, channel, part, size, broadcast, try, touched_at FROM segments
                WHERE lane = 'critical' AND finished_at IS NULL AND touched_at < (SELECT now_us()) - $1 AND claim_until < now_us()
                ORDER BY touched_at LIMIT 10000) c
            UNION ALL SELECT * FROM (SELECT id, parent, batch, lane, application, stage, channel, part, size, broadcast, try, touched_at FROM segments
                WHERE lane = 'normal' AND finished_at IS NULL AND touched_at < (SELECT now_us()) - $1 AND claim_until < now_us()
                ORDER BY touched_at LIMIT 10000) n
            UNION ALL SELECT * FROM (SELECT id, parent, batch, lane, application, stage, channel, part, size, broadcast, try, touched_at FROM segments
                WHERE lane = 'bulk' AND finished_at IS NULL AND touched_at < (SELECT now_us()) - $1 AND claim_until < now_us()
                ORDER BY touched_at LIMIT 10000) b) s) t
ORDER BY turn, touched_at LIMIT $2

-- name: raise-try
UPDATE segments SET try = segments.try + 1, touched_at = now_us() FROM rows(id bigint, try bigint)
WHERE segments.id = rows.id AND segments.try = rows.try AND coalesce(segments.finished_at, 0) = 0 AND segments.claim_until < now_us()
RETURNING segments.id

-- name: touch-segments
UPDATE segments SET touched_at = now_us() FROM rows(id bigint, try bigint)
WHERE segments.id = rows.id AND segments.try = rows.try AND coalesce(segments.finished_at, 0) = 0

-- name: anything-due
-- The least of an index, and not EXISTS with a comparison: the clock is no constant, so that PostgreSQL would compare all that are not due.
SELECT CASE WHEN (SELECT min(due_at) FROM deliveries WHERE lane = 'critical' AND due_at IS NOT NULL) <= now_us()
    OR (SELECT min(due_at) FROM deliveries WHERE lane = 'normal' AND due_at IS NOT NULL) <= now_us()
    OR (SELECT min(due_at) FROM deliveries WHERE lane = 'bulk' AND due_at IS NOT NULL) <= now_us()
    OR (SELECT min(due_at) FROM escalations WHERE due_at IS NOT NULL) <= now_us()
    OR (SELECT min(due_at) FROM digest_items WHERE digest = 0) <= now_us()
    OR EXISTS (SELECT 1 FROM replays WHERE state = 'running') THEN 1 ELSE 0 END

-- name: due-deliveries
-- A later step of a route goes on only if nobody has read meanwhile; what is gathered into digests has a look of its own.
SELECT message_id, user_id, channel, application, lane, state, reason, CASE WHEN expires_at <= now_us() THEN 1 ELSE 0 END AS expired,
    CASE WHEN state = 'held' AND instr(decided, 'route held') > 0 AND (
        EXISTS (SELECT 1 FROM notifications n WHERE n.user_id = deliveries.user_id AND n.message_id = deliveries.message_id AND n.read_at > 0)
        OR EXISTS (SELECT 1 FROM routes r WHERE r.message_id = deliveries.message_id AND r.read_at > 0)) THEN 1 ELSE 0 END AS seen
FROM deliveries WHERE lane = $2 AND due_at IS NOT NULL AND due_at <= (SELECT now_us()) AND NOT (state = 'held' AND instr(decided, 'digest held') > 0)
ORDER BY due_at LIMIT $1 {lock skip}

-- name: release-due
UPDATE deliveries SET state = rows.next, reason = rows.why, due_at = CASE WHEN rows.pause = 0 THEN NULL ELSE now_us() + rows.pause END, changed_at = now_us()
FROM rows(message_id bigint, user_id text, channel text, next text, why text, pause bigint)
WHERE deliveries.message_id = rows.message_id AND deliveries.user_id = rows.user_id AND deliveries.channel = rows.channel

-- name: open-segments
SELECT lane, count(*) AS n FROM segments WHERE finished_at IS NULL GROUP BY lane
