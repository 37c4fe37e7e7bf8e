-- The balance of the record: what does not add up stands in the view balance.

-- name: balance-faults
SELECT rule, place, CAST(expected AS bigint) AS expected, CAST(found AS bigint) AS found FROM (SELECT rule, place, expected, found FROM balance
    UNION ALL SELECT rule, place, expected, found FROM balance_routes UNION ALL SELECT rule, place, expected, found FROM broadcast_balance
    UNION ALL SELECT rule, place, expected, found FROM balance_events UNION ALL SELECT rule, place, expected, found FROM balance_replays) b ORDER BY rule, place LIMIT $1

-- name: balance-counts
SELECT (SELECT count(*) FROM messages) AS messages,
    (SELECT count(*) FROM notifications) AS notifications,
    (SELECT count(*) FROM acquired WHERE size < 0 OR id IN (SELECT id FROM open_messages)) AS open

-- name: balance-states
SELECT state, count(*) AS n FROM deliveries GROUP BY state

-- name: balance-overdue
-- Past their time: segments nobody has touched, deliveries nobody has released, and deliveries under way although no
-- segment is left that would move them.
SELECT 'segment ' || id AS place FROM segments WHERE finished_at IS NULL AND touched_at < (SELECT now_us()) - $1
UNION ALL
SELECT 'message ' || message_id || ' ' || user_id || ' ' || channel FROM deliveries WHERE due_at < (SELECT now_us()) - $1
UNION ALL
SELECT 'replay ' || id FROM replays WHERE state = 'running' AND changed_at < now_us() - $1
UNION ALL
SELECT 'message ' || message_id || ' step ' || step FROM escalations WHERE due_at < now_us() - $1
UNION ALL
SELECT 'endpoint ' || e.id FROM endpoints e -- nobody calls it, although it may be called
WHERE e.state = 'active' AND e.called_at < now_us() - $1 AND e.next_at < now_us() - $1
    AND EXISTS (SELECT 1 FROM events x WHERE x.endpoint = e.id AND x.due_at IS NOT NULL AND x.due_at < now_us() - $1)
UNION ALL
SELECT 'message ' || d.message_id || ' ' || d.user_id || ' ' || d.channel FROM deliveries d
WHERE d.state IN ('held', 'queued', 'sending') AND d.due_at IS NULL AND d.changed_at < now_us() - $1
    AND NOT EXISTS (SELECT 1 FROM segments s
        WHERE s.finished_at IS NULL AND s.stage = 'deliver' AND s.application = d.application AND s.channel = d.channel)
