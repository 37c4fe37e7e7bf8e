-- What follows later: the messages whose route is not over, the steps of it to others, and what is gathered into digests.

-- family is the message with which a route began: its steps to others are messages of their own. read_at: somebody has read one of
-- them, where that ends all.
CREATE TABLE routes (
    message_id  bigint PRIMARY KEY,
    family      bigint NOT NULL,
    until       text NOT NULL,
    escalations bigint NOT NULL DEFAULT 0,   -- how many there are: what the balance expects
    read_at     bigint NOT NULL DEFAULT 0
);
CREATE INDEX routes_family ON routes (family);

CREATE TABLE escalations (
    message_id bigint NOT NULL,
    step       bigint NOT NULL,
    target     text NOT NULL,                -- role:<role> or head_office
    channels   text NOT NULL,
    due_at     bigint,                       -- NULL: it is over
    state      text NOT NULL,                -- held, sent, suppressed, expired, canceled
    reason     text NOT NULL DEFAULT '',
    child      bigint NOT NULL DEFAULT 0,    -- the message that it became
    changed_at bigint NOT NULL,
    PRIMARY KEY (message_id, step)
);
CREATE INDEX escalations_due ON escalations (due_at) WHERE due_at IS NOT NULL;

-- A delivery that is gathered. digest is the message it became part of; 0: it waits; -1: it ended otherwise.
CREATE TABLE digest_items (
    message_id  bigint NOT NULL,
    user_id     {id} NOT NULL,
    channel     text NOT NULL,
    application {id} NOT NULL,
    type        {id} NOT NULL,
    ready_at    bigint NOT NULL,             -- when it would have gone out by itself
    due_at      bigint NOT NULL,
    digest      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (message_id, user_id, channel)
);
CREATE INDEX digest_items_due ON digest_items (due_at) WHERE digest = 0;
CREATE INDEX digest_items_user ON digest_items (user_id, application, type) WHERE digest = 0;

-- The balance of these, read together with the view balance.
CREATE VIEW balance_routes AS
SELECT 'route' AS rule, 'message ' || id AS place, sum(expected) AS expected, sum(found) AS found FROM (
    SELECT message_id AS id, escalations AS expected, 0 AS found FROM routes
    UNION ALL SELECT message_id, 0, count(*) FROM escalations GROUP BY message_id) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'route', 'message ' || e.child, 1, 0 FROM escalations e
WHERE e.child <> 0 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = e.child)
UNION ALL
SELECT 'digest', 'message ' || id, sum(expected), sum(found) FROM (
    SELECT message_id AS id, count(*) AS expected, 0 AS found FROM deliveries WHERE instr(decided, 'digest held') > 0 GROUP BY message_id
    UNION ALL SELECT message_id, 0, count(*) FROM digest_items GROUP BY message_id) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'digest', 'message ' || i.digest, count(*), 0 FROM digest_items i
WHERE i.digest > 0 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = i.digest) GROUP BY i.digest;
