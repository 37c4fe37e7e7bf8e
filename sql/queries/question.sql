-- name: anything-to-ask
SELECT CASE WHEN (SELECT min(ask_at) FROM attempts WHERE ask_at IS NOT NULL) <= now_us() THEN 1 ELSE 0 END

-- name: take-questions
-- Whoever takes a question moves it to its next time, twice as far away as the last: nobody else asks it meanwhile, and one whose
-- taker dies is asked again by itself. The last has no next time.
UPDATE attempts SET asked = attempts.asked + 1,
    ask_at = CASE WHEN attempts.asked + 1 >= $2 THEN NULL ELSE now_us() + (CAST($3 AS bigint) << CAST(attempts.asked AS integer)) END
WHERE id IN (SELECT id FROM attempts WHERE ask_at IS NOT NULL AND ask_at <= (SELECT now_us()) ORDER BY ask_at LIMIT $1 {lock skip})
RETURNING id

-- name: questions
SELECT t.id, t.user_id, t.channel, t.provider, t.integration, t.provider_id, t.started_at, coalesce(a.value, '') AS address, coalesce(a.platform, '') AS platform
FROM rows(id bigint) JOIN attempts t ON t.id = rows.id LEFT JOIN addresses a ON a.user_id = t.user_id AND a.channel = t.channel
ORDER BY t.id

-- name: stale-receipts
-- Reports that are not sealed under the key whose values begin with $2.
SELECT id, attempt, raw FROM receipts
WHERE id > $1 AND raw <> '' AND substr(raw, 1, length(CAST($2 AS text))) <> CAST($2 AS text) ORDER BY id LIMIT $3

-- name: reseal-receipts
UPDATE receipts SET raw = rows.raw FROM rows(id bigint, raw text) WHERE receipts.id = rows.id

-- name: providers-of-unknown
-- Who made the latest attempts of deliveries that their policy sends again.
SELECT t.channel, t.provider, count(*) AS n FROM rows(message_id bigint, user_id text, channel text)
JOIN attempts t ON t.message_id = rows.message_id AND t.user_id = rows.user_id AND t.channel = rows.channel AND t.state = 'unknown'
GROUP BY t.channel, t.provider
