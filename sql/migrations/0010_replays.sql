-- Replays: decisions to send again what ended without a success.

CREATE TABLE replays (
    id            bigint PRIMARY KEY,
    application   {id} NOT NULL,              -- '': of all
    filter        text NOT NULL,              -- tidings.ReplayFilter as JSON
    expires_at    bigint NOT NULL DEFAULT 0,  -- the new end of what it sends; 0: as it was
    key           text NOT NULL DEFAULT '',   -- the Idempotency-Key it was made under
    hash          text NOT NULL DEFAULT '',
    made_by       text NOT NULL,
    state         text NOT NULL,              -- running, done, canceled
    after_message bigint NOT NULL DEFAULT 0,  -- how far it has come: it looks at deliveries in order of their primary key
    after_user    {id} NOT NULL DEFAULT '',
    after_channel text NOT NULL DEFAULT '',
    replayed      bigint NOT NULL DEFAULT 0,
    left_out      bigint NOT NULL DEFAULT 0,
    parts         bigint NOT NULL DEFAULT 0,
    created_at    bigint NOT NULL,
    changed_at    bigint NOT NULL,
    ended_at      bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX replays_key ON replays (application, key) WHERE key <> '';
CREATE INDEX replays_application ON replays (application, id);
CREATE INDEX replays_running ON replays (id) WHERE state = 'running';

-- Each delivery that a replay selected: as it was, and why it was left out; '': it was put on the road again, in that segment.
CREATE TABLE replayed (
    replay     bigint NOT NULL,
    message_id bigint NOT NULL,
    user_id    {id} NOT NULL,
    channel    text NOT NULL,
    state      text NOT NULL,
    reason     text NOT NULL,
    attempts   bigint NOT NULL,               -- made before
    parts      bigint NOT NULL,
    why        text NOT NULL,
    PRIMARY KEY (replay, message_id, user_id, channel)
);
-- What was attempted before a replay is no reason to take the first attempt after it for a retry.
CREATE INDEX replayed_delivery ON replayed (message_id, user_id, channel);

-- The balance of replays, read together with the view balance.
CREATE VIEW balance_replays AS
SELECT 'replay' AS rule, 'replay ' || id AS place, sum(expected) AS expected, sum(found) AS found FROM (
    SELECT id, replayed AS expected, 0 AS found FROM replays
    UNION ALL SELECT replay, 0, count(*) FROM replayed WHERE why = '' GROUP BY replay) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'replay', 'replay ' || id, sum(expected), sum(found) FROM (
    SELECT id, left_out AS expected, 0 AS found FROM replays
    UNION ALL SELECT replay, 0, count(*) FROM replayed WHERE why <> '' GROUP BY replay) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'replay', 'message ' || r.message_id || ' ' || r.user_id || ' ' || r.channel, 1, 0 FROM replayed r
WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = r.message_id AND d.user_id = r.user_id AND d.channel = r.channel);
