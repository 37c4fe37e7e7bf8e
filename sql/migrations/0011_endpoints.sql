-- Endpoints of applications, and what they are told of. While nobody asks for it nothing is noted: the triggers that note are made and
-- unmade with the endpoints (sql/watch.go).

CREATE TABLE endpoints (
    id            bigint PRIMARY KEY,
    application   {id} NOT NULL REFERENCES applications (id),
    name          text NOT NULL DEFAULT '',
    url           text NOT NULL,
    events        text NOT NULL,             -- ',delivery.sent,notification.read,' : begins and ends with a comma
    secret        text NOT NULL,             -- sealed
    old_secret    text NOT NULL DEFAULT '',  -- sealed; signs beside it until old_until
    old_until     bigint NOT NULL DEFAULT 0,
    state         text NOT NULL,             -- active, disabled
    reason        text NOT NULL DEFAULT '',
    created_at    bigint NOT NULL,
    changed_at    bigint NOT NULL,
    watched_from  bigint NOT NULL,           -- since then it is told of all that it asks for
    failures      bigint NOT NULL DEFAULT 0, -- calls in a row
    failing_since bigint NOT NULL DEFAULT 0,
    succeeded_at  bigint NOT NULL DEFAULT 0,
    called_at     bigint NOT NULL DEFAULT 0,
    next_at       bigint NOT NULL DEFAULT 0, -- not before then is it called
    error         text NOT NULL DEFAULT ''
);
CREATE INDEX endpoints_application ON endpoints (application);

-- One row for each event and endpoint that is told of it, written in the transaction of the change itself.
CREATE TABLE events (
    id           {serial},
    endpoint     bigint NOT NULL,
    application  {id} NOT NULL,
    type         text NOT NULL,
    message_id   bigint NOT NULL DEFAULT 0,
    message_type text NOT NULL DEFAULT '',
    user_id      {id} NOT NULL DEFAULT '',
    channel      text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT '',
    subject      bigint NOT NULL DEFAULT 0,
    at           bigint NOT NULL,
    state        text NOT NULL DEFAULT 'pending',
    calls        bigint NOT NULL DEFAULT 0,
    claim        bigint NOT NULL DEFAULT 0,  -- raised by each worker that takes it: fences those before
    due_at       bigint,
    until_at     bigint NOT NULL,            -- given up then
    called_at    bigint NOT NULL DEFAULT 0,
    status       bigint NOT NULL DEFAULT 0,
    error        text NOT NULL DEFAULT ''
);
CREATE INDEX events_due ON events (endpoint, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX events_endpoint ON events (endpoint, id);

INSERT INTO settings (name, value) VALUES ('watch', '');

-- What an active endpoint should have been told and was not, of messages that were accepted since it watches. It asks the states
-- themselves, not what wrote the events. The id of a message holds the time of its acceptance (tidings.ID); 29 of the 30 days that events are kept.
CREATE VIEW balance_events AS
SELECT 'event' AS rule, 'message ' || d.message_id || ' ' || d.user_id || ' ' || d.channel || ' delivery.' || d.state || ' to ' || e.id AS place, 1 AS expected, 0 AS found
FROM endpoints e JOIN deliveries d ON d.application = e.application AND d.message_id > (e.watched_from / 1000 - 1767225595000) * 4194304
WHERE e.state = 'active' AND instr(e.events, ',delivery.' || d.state || ',') > 0 AND d.changed_at > now_us() - 2505600000000
    AND NOT EXISTS (SELECT 1 FROM events x WHERE x.endpoint = e.id AND x.message_id = d.message_id AND x.user_id = d.user_id AND x.channel = d.channel
        AND x.type = 'delivery.' || d.state)
UNION ALL
SELECT 'event', 'message ' || n.message_id || ' ' || n.user_id || ' notification.read to ' || e.id, 1, 0
FROM endpoints e JOIN messages m ON m.application = e.application AND m.id > (e.watched_from / 1000 - 1767225595000) * 4194304
    JOIN notifications n ON n.message_id = m.id
WHERE e.state = 'active' AND instr(e.events, ',notification.read,') > 0 AND n.read_at > now_us() - 2505600000000
    AND NOT EXISTS (SELECT 1 FROM events x WHERE x.endpoint = e.id AND x.message_id = n.message_id AND x.user_id = n.user_id AND x.type = 'notification.read');
