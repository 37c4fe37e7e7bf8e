-- Broadcasts: messages of the bulk lane that can be watched and steered. broadcast is on a segment the message that all its items belong to.

ALTER TABLE segments ADD COLUMN broadcast bigint NOT NULL DEFAULT 0;
CREATE INDEX segments_broadcast ON segments (broadcast, stage) WHERE broadcast <> 0;

CREATE TABLE broadcasts (
    id          bigint PRIMARY KEY,         -- the message's
    application {id} NOT NULL,
    state       text NOT NULL,              -- running, paused, done, canceled
    rate        bigint NOT NULL,            -- notifications a second; 0: no limit
    paced_from  bigint NOT NULL,            -- since then the rate counts
    paced       bigint NOT NULL DEFAULT 0,  -- notifications made since
    frozen      bigint NOT NULL DEFAULT 0,  -- notifications made
    estimated   bigint NOT NULL,            -- users counted when it was accepted
    must_read   bigint NOT NULL,
    reminders   bigint NOT NULL,            -- how many it has: what the balance expects
    parent      bigint NOT NULL DEFAULT 0,  -- of a reminder: what it reminds of
    created_by  text NOT NULL DEFAULT '',
    changed_at  bigint NOT NULL,
    ended_at    bigint NOT NULL DEFAULT 0
);
CREATE INDEX broadcasts_application ON broadcasts (application, id);
CREATE INDEX broadcasts_running ON broadcasts (id) WHERE state IN ('running', 'paused');
CREATE INDEX broadcasts_parent ON broadcasts (parent) WHERE parent <> 0;

-- Reminders of must-read broadcasts. One is sent in the transaction that moves its row, and so once.
CREATE TABLE reminders (
    broadcast  bigint NOT NULL,
    n          bigint NOT NULL,
    due_at     bigint NOT NULL,
    channels   text NOT NULL,
    state      text NOT NULL,               -- waiting, sent, needless, dropped
    message_id bigint NOT NULL DEFAULT 0,
    users      bigint NOT NULL DEFAULT 0,   -- who had not read
    changed_at bigint NOT NULL,
    PRIMARY KEY (broadcast, n)
);
CREATE INDEX reminders_due ON reminders (due_at) WHERE state = 'waiting';

-- Where the recipients of must-read broadcasts belonged when they were resolved: the read-rate tree and the proof must not change with the directory.
-- '' where there is none: a merchant's own members have no store, and a user who belongs nowhere has one row of nothing.
CREATE TABLE places (
    message_id  bigint NOT NULL,
    region      {id} NOT NULL,
    merchant_id {id} NOT NULL,
    store_id    {id} NOT NULL,
    user_id     {id} NOT NULL,
    PRIMARY KEY (message_id, region, merchant_id, store_id, user_id)
);

-- The balance of broadcasts, read together with the view balance.
CREATE VIEW broadcast_balance AS
SELECT 'broadcast' AS rule, 'message ' || id AS place, sum(expected) AS expected, sum(found) AS found FROM (
    SELECT id, frozen AS expected, 0 AS found FROM broadcasts
    UNION ALL SELECT n.message_id, 0, count(*) FROM notifications n WHERE n.message_id IN (SELECT broadcast FROM segments WHERE broadcast <> 0) GROUP BY n.message_id
    UNION ALL SELECT broadcast, 1, 0 FROM segments WHERE broadcast <> 0 GROUP BY broadcast
    UNION ALL SELECT id, 0, 1 FROM broadcasts) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'places', 'message ' || id, sum(expected), sum(found) FROM (
    SELECT id, frozen AS expected, 0 AS found FROM broadcasts WHERE must_read = 1
    UNION ALL SELECT message_id, 0, count(DISTINCT user_id) FROM places GROUP BY message_id) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'reminders', 'message ' || id, sum(expected), sum(found) FROM (
    SELECT id, reminders AS expected, 0 AS found FROM broadcasts
    UNION ALL SELECT broadcast, 0, count(*) FROM reminders GROUP BY broadcast) sides
GROUP BY id HAVING sum(expected) <> sum(found);
