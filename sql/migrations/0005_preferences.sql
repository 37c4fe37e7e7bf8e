-- What users want to be sent, and what caps and dedup windows look back on.

-- What is '' stands for all; the row of all alone also carries the user's own quiet hours, tidings.QuietHours as JSON.
CREATE TABLE preferences (
    user_id     {id} NOT NULL REFERENCES users (id),
    application {id} NOT NULL,
    type        {id} NOT NULL,
    channel     text NOT NULL,
    muted       bigint NOT NULL,
    quiet       text NOT NULL DEFAULT '',
    changed_by  text NOT NULL,
    changed_at  bigint NOT NULL,
    PRIMARY KEY (user_id, application, type, channel)
);

-- What any user has ever had a preference about: a handful of rows, by which the road knows that it need not ask.
CREATE TABLE preferred (
    application {id} NOT NULL,
    type        {id} NOT NULL,
    PRIMARY KEY (application, type)
);

-- Deliveries on which caps, dedup windows and collapse keys of a user look back, by what they are looked back on for. What became of
-- them stands with the deliveries themselves: one that failed counts no more.
CREATE TABLE remembered (
    user_id    {id} NOT NULL,
    what       {id} NOT NULL,
    message_id bigint NOT NULL,
    channel    text NOT NULL,
    at         bigint NOT NULL,               -- when it was to go out
    until      bigint NOT NULL,               -- nobody looks back on it later
    PRIMARY KEY (user_id, what, message_id, channel)
);
CREATE INDEX remembered_until ON remembered (until);

-- As before, and: what a user is spared does not show before its time.
DROP VIEW visible;
CREATE VIEW visible AS
SELECT n.* FROM notifications n
WHERE (instr(n.via, ',u,') > 0 OR EXISTS (
        SELECT 1 FROM memberships ms WHERE ms.user_id = n.user_id AND instr(n.via, ',' || ms.dimension || ',') > 0))
    AND EXISTS (SELECT 1 FROM deliveries d
        WHERE d.message_id = n.message_id AND d.user_id = n.user_id AND d.reason NOT IN ('send_at', 'canceled', 'suspended', 'discarded')
            AND (d.reason NOT IN ('muted', 'over_cap', 'duplicate', 'collapsed') OR EXISTS (
                SELECT 1 FROM messages m WHERE m.id = d.message_id AND m.send_at <= now_us())));
