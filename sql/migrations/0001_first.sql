-- The system of record. One text serves PostgreSQL and SQLite: {id} is the type of the company's own ids (bytewise order),
-- {room} leaves half of each page to the next versions of its rows, so that an update touches no index. Times are microseconds since 1970 by the database's clock (now_us()); 0 means none,
-- and NULL stands only where a partial index needs it.

CREATE TABLE settings (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE counters (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO counters (name, value) VALUES ('process', 0), ('generation', 1), ('audit', 0);
INSERT INTO settings (name, value) VALUES ('audit', '');

-- The directory.

CREATE TABLE merchants (
    id         {id} PRIMARY KEY,
    name       text NOT NULL,
    attributes text NOT NULL DEFAULT '{}',
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    deleted_at bigint NOT NULL DEFAULT 0
);

CREATE TABLE stores (
    id          {id} PRIMARY KEY,
    merchant_id {id} NOT NULL REFERENCES merchants (id),
    name        text NOT NULL,
    region      text NOT NULL DEFAULT '',
    timezone    text NOT NULL DEFAULT '',
    hours       text NOT NULL DEFAULT '{}', -- tidings.Hours as JSON
    holidays    text NOT NULL DEFAULT '[]',
    attributes  text NOT NULL DEFAULT '{}',
    created_at  bigint NOT NULL,
    changed_at  bigint NOT NULL,
    deleted_at  bigint NOT NULL DEFAULT 0
);
CREATE INDEX stores_merchant ON stores (merchant_id, id);

CREATE TABLE users (
    id         {id} PRIMARY KEY,
    name       text NOT NULL,
    locale     text NOT NULL,
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,             -- also moved by a change of memberships: comet watches it
    deleted_at bigint NOT NULL DEFAULT 0
);
CREATE INDEX users_changed ON users (changed_at);

-- dimension is 'm:<merchant>' or 's:<store>'; merchant_id is the merchant itself or the store's.
CREATE TABLE memberships (
    user_id     {id} NOT NULL REFERENCES users (id),
    dimension   {id} NOT NULL,
    merchant_id {id} NOT NULL REFERENCES merchants (id),
    role        text NOT NULL,
    PRIMARY KEY (user_id, dimension)
);
CREATE INDEX memberships_dimension ON memberships (dimension, user_id);
CREATE INDEX memberships_merchant ON memberships (merchant_id, user_id);

-- value is sealed (AES-GCM), blind is a keyed hash by which an address can be found.
CREATE TABLE addresses (
    user_id    {id} NOT NULL REFERENCES users (id),
    channel    text NOT NULL,
    value      text NOT NULL,
    blind      text NOT NULL,
    provider   text NOT NULL DEFAULT '',
    platform   text NOT NULL DEFAULT '',
    changed_at bigint NOT NULL,
    PRIMARY KEY (user_id, channel)
);
CREATE INDEX addresses_blind ON addresses (blind);

-- The platform.

CREATE TABLE applications (
    id         {id} PRIMARY KEY,
    name       text NOT NULL,
    owner      text NOT NULL DEFAULT '',
    state      text NOT NULL,               -- applied, active, rejected, suspended
    origins    text NOT NULL DEFAULT '[]',
    purpose    text NOT NULL DEFAULT '',
    channels   text NOT NULL DEFAULT '[]',
    volume     bigint NOT NULL DEFAULT 0,   -- messages a day that it expects to send
    comment    text NOT NULL DEFAULT '',
    applied_by text NOT NULL DEFAULT '',
    decided_by text NOT NULL DEFAULT '',
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL
);

-- People.
CREATE TABLE accounts (
    id           {id} PRIMARY KEY,
    name         text NOT NULL,
    role         text NOT NULL,
    application  {id} NOT NULL DEFAULT '',
    locale       text NOT NULL DEFAULT '',
    state        text NOT NULL,             -- active, disabled
    hash         text NOT NULL DEFAULT '',  -- argon2id
    created_at   bigint NOT NULL,
    changed_at   bigint NOT NULL,
    signed_in_at bigint NOT NULL DEFAULT 0
);

CREATE TABLE sessions (
    hash       text PRIMARY KEY,            -- of the token
    account    {id} NOT NULL,
    credential text NOT NULL DEFAULT '',    -- of sessions without an account: a hash of what opened it
    created_at bigint NOT NULL,
    seen_at    bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX sessions_account ON sessions (account);

-- Every change of configuration, chained: a row's hash covers it and the hash before. The last number and hash also stand in
-- counters and settings under 'audit', so that a tail cut off is missed.
CREATE TABLE audit_log (
    number   bigint PRIMARY KEY,
    at       bigint NOT NULL,
    actor    text NOT NULL,
    key      text NOT NULL DEFAULT '',
    via      text NOT NULL,
    action   text NOT NULL,
    object   text NOT NULL,
    detail   text NOT NULL,
    previous text NOT NULL,
    hash     text NOT NULL
);

-- Keys of applications, merchants' own systems and admins. Only a hash of the secret is kept.
CREATE TABLE keys (
    id           {id} PRIMARY KEY,
    kind         text NOT NULL,             -- application, merchant, admin
    application  {id} NOT NULL DEFAULT '',
    dimension    {id} NOT NULL DEFAULT '',  -- merchant keys: 'm:...' or 's:...'
    role         text NOT NULL DEFAULT '',  -- admin keys without an account: admin, operator
    account      {id} NOT NULL DEFAULT '',  -- admin keys: whose
    made_by      text NOT NULL DEFAULT '',
    name         text NOT NULL DEFAULT '',
    scopes       text NOT NULL DEFAULT '[]',
    types        text NOT NULL DEFAULT '[]',  -- none: all
    channels     text NOT NULL DEFAULT '[]',  -- none: all
    hash         text NOT NULL,
    last4        text NOT NULL,
    created_at   bigint NOT NULL,
    expires_at   bigint NOT NULL DEFAULT 0,
    revoked_at   bigint NOT NULL DEFAULT 0,
    last_used    bigint NOT NULL DEFAULT 0
);
CREATE INDEX keys_application ON keys (application);

CREATE TABLE types (
    application {id} NOT NULL REFERENCES applications (id),
    name        {id} NOT NULL,
    spec        text NOT NULL,              -- tidings.MessageType as JSON
    changed_at  bigint NOT NULL,
    PRIMARY KEY (application, name)
);

CREATE TABLE templates (
    application {id} NOT NULL,
    type        {id} NOT NULL,
    channel     text NOT NULL,
    locale      text NOT NULL,
    version     bigint NOT NULL,
    state       text NOT NULL,
    title       text NOT NULL DEFAULT '',
    body        text NOT NULL,
    url         text NOT NULL DEFAULT '',
    provider_code text NOT NULL DEFAULT '',
    signature   text NOT NULL DEFAULT '',
    percent     bigint NOT NULL DEFAULT 100, -- of the stores, while it is published
    author      text NOT NULL DEFAULT '',
    reviewer    text NOT NULL DEFAULT '',
    comment     text NOT NULL DEFAULT '',
    created_at  bigint NOT NULL,
    changed_at  bigint NOT NULL,
    PRIMARY KEY (application, type, channel, locale, version),
    FOREIGN KEY (application, type) REFERENCES types (application, name)
);
-- One version for all stores, and at most one more for a part of them.
CREATE UNIQUE INDEX templates_published ON templates (application, type, channel, locale) WHERE state = 'published' AND percent = 100;
CREATE UNIQUE INDEX templates_partial ON templates (application, type, channel, locale) WHERE state = 'published' AND percent < 100;
CREATE INDEX templates_submitted ON templates (changed_at) WHERE state = 'submitted';

-- How much an application may send: tidings.Quota as JSON. One without limits has no row.
CREATE TABLE quotas (
    application {id} PRIMARY KEY REFERENCES applications (id),
    spec        text NOT NULL,
    changed_at  bigint NOT NULL
);

-- What was counted against quotas: the deliveries of a channel on a day, the SMS parts of a month.
CREATE TABLE usage (
    application {id} NOT NULL,
    period      text NOT NULL,              -- '2026-11-23' or '2026-11'
    channel     text NOT NULL,
    deliveries  bigint NOT NULL DEFAULT 0,
    reserved    bigint NOT NULL DEFAULT 0,
    spent       bigint NOT NULL DEFAULT 0,
    refunded    bigint NOT NULL DEFAULT 0,
    warned      bigint NOT NULL DEFAULT 0,  -- that most of it is gone
    PRIMARY KEY (application, period, channel)
) {room};

-- The SMS parts of a delivery of an application with a budget: reserved when it is planned, spent or refunded when it is
-- known what became of it.
CREATE TABLE reservations (
    message_id  bigint NOT NULL,
    user_id     {id} NOT NULL,
    application {id} NOT NULL,
    period      text NOT NULL,
    parts       bigint NOT NULL,
    state       text NOT NULL DEFAULT 'reserved',
    PRIMARY KEY (message_id, user_id)
);
CREATE INDEX reservations_open ON reservations (message_id, user_id) WHERE state = 'reserved';

-- The road.

CREATE TABLE batches (
    id         bigint PRIMARY KEY,
    accepted   bigint NOT NULL,             -- messages in it: what the balance expects
    segments   bigint NOT NULL,             -- acquire segments written with it
    created_at bigint NOT NULL
);

CREATE TABLE messages (
    id               bigint PRIMARY KEY,
    batch            bigint NOT NULL,
    application      {id} NOT NULL,
    type             {id} NOT NULL,
    lane             text NOT NULL,
    audience         text NOT NULL,
    data             text NOT NULL,
    channels         text NOT NULL DEFAULT '',  -- comma-separated
    send_at          bigint NOT NULL DEFAULT 0,
    expires_at       bigint NOT NULL,
    collapse_key     text NOT NULL DEFAULT '',
    cancellation_key text NOT NULL DEFAULT '',
    accepted_at      bigint NOT NULL,
    canceled_at      bigint NOT NULL DEFAULT 0
);
CREATE INDEX messages_application ON messages (application, id);
CREATE INDEX messages_cancellation ON messages (application, cancellation_key) WHERE cancellation_key <> '';

-- How the acquire stage ended for a message whose audience is not a single user, as mostly: its size, by a count apart from
-- the rows, -1 until all of it is resolved, and why there is nobody in it. A table of its own, because a message is wide and
-- writing it again would cost ten times this row.
CREATE TABLE audiences (
    message_id bigint PRIMARY KEY,
    size       bigint NOT NULL,
    reason     text NOT NULL DEFAULT ''
);


CREATE TABLE idempotency_keys (
    application {id} NOT NULL,
    key         text NOT NULL,
    hash        text NOT NULL,              -- of method, path and body
    response    text NOT NULL,
    created_at  bigint NOT NULL,
    PRIMARY KEY (application, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

CREATE TABLE notifications (
    message_id  bigint NOT NULL,
    user_id     {id} NOT NULL,
    locale      text NOT NULL,
    via         text NOT NULL,              -- ',m:acme,s:acme-1,' : begins and ends with a comma
    seen_at     bigint NOT NULL DEFAULT 0,
    read_at     bigint NOT NULL DEFAULT 0,
    archived_at bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, message_id)        -- those of a message are found through its deliveries
);

-- Which messages reached a merchant or a store: the history of a dimension.
CREATE TABLE dimensions (
    dimension  {id} NOT NULL,
    message_id bigint NOT NULL,
    PRIMARY KEY (dimension, message_id)
);

CREATE TABLE contents (
    message_id bigint NOT NULL,
    channel    text NOT NULL,
    locale     text NOT NULL,
    version    bigint NOT NULL DEFAULT 0,
    title      text NOT NULL DEFAULT '',
    body       text NOT NULL DEFAULT '',
    url        text NOT NULL DEFAULT '',
    reason     text NOT NULL DEFAULT '',    -- why there is no content
    detail     text NOT NULL DEFAULT '',    -- for the application: what was wrong with template or data
    segment    bigint NOT NULL,             -- the render segment that made it
    PRIMARY KEY (message_id, channel, locale)
);

CREATE TABLE deliveries (
    message_id  bigint NOT NULL,
    user_id     {id} NOT NULL,
    channel     text NOT NULL,
    application {id} NOT NULL,
    lane        text NOT NULL,
    state       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    decided     text NOT NULL DEFAULT '',   -- what rules said that is more than that it passed, see tidings.Decisions
    locale      text NOT NULL,              -- of its content, see tidings.TrialLocale
    due_at      bigint,                     -- when the relay looks at it again
    number      bigint NOT NULL DEFAULT 0,  -- web: its place in the inbox
    attempts    bigint NOT NULL DEFAULT 0,
    expires_at  bigint NOT NULL,
    segment     bigint NOT NULL,            -- the route segment that planned it
    changed_at  bigint NOT NULL,
    PRIMARY KEY (message_id, user_id, channel)
) {room};
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;

-- A message with the size of its audience; -1: nobody knows it yet.
CREATE VIEW acquired AS
SELECT m.*, coalesce(a.size, CASE WHEN EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = m.id) THEN 1 ELSE -1 END) AS size,
    coalesce(a.reason, '') AS reason FROM messages m LEFT JOIN audiences a ON a.message_id = m.id;

-- The numbered list of a user: head is the last number, acked the last one a client acknowledged.
CREATE TABLE inboxes (
    user_id {id} PRIMARY KEY REFERENCES users (id),
    head    bigint NOT NULL DEFAULT 0,
    acked   bigint NOT NULL DEFAULT 0
) {room};

CREATE TABLE inbox (
    user_id    {id} NOT NULL,
    number     bigint NOT NULL,
    message_id bigint NOT NULL,
    PRIMARY KEY (user_id, number)
);

CREATE TABLE attempts (
    id          bigint PRIMARY KEY,
    message_id  bigint NOT NULL,
    user_id     {id} NOT NULL,
    channel     text NOT NULL,
    n           bigint NOT NULL,            -- 1, 2, ... of its delivery
    provider    text NOT NULL,
    state       text NOT NULL,              -- sending, sent, failed, unknown
    reason      text NOT NULL DEFAULT '',
    detail      text NOT NULL DEFAULT '',
    provider_id text NOT NULL DEFAULT '',
    parts       bigint NOT NULL DEFAULT 0,  -- SMS parts
    started_at  bigint NOT NULL,
    ended_at    bigint NOT NULL DEFAULT 0
);
CREATE INDEX attempts_delivery ON attempts (message_id, user_id, channel);

CREATE TABLE receipts (
    id          bigint PRIMARY KEY,
    attempt     bigint NOT NULL,
    kind        text NOT NULL,              -- delivered, not_delivered, accepted, rejected, buffered
    detail      text NOT NULL DEFAULT '',
    received_at bigint NOT NULL
);
CREATE INDEX receipts_attempt ON receipts (attempt);

-- The outbox: what is left to do. A row is finished only after its stage's effect.
CREATE TABLE segments (
    id          bigint PRIMARY KEY,
    parent      bigint NOT NULL,
    batch       bigint NOT NULL,
    lane        text NOT NULL,
    application {id} NOT NULL,
    stage       text NOT NULL,
    channel     text NOT NULL DEFAULT '',
    part        bigint NOT NULL,
    size        bigint NOT NULL,            -- of items
    try         bigint NOT NULL DEFAULT 0,
    claim       bigint NOT NULL DEFAULT 0,  -- fencing token of the worker that holds it
    claim_until bigint NOT NULL DEFAULT 0,
    touched_at  bigint NOT NULL,            -- when it was written, enqueued again or claimed
    items       text NOT NULL,              -- what it works on, JSON
    planned     bigint NOT NULL DEFAULT 0,  -- rows its stage made (contents, deliveries): what the balance expects
    children    bigint NOT NULL DEFAULT 0,  -- segments its stage wrote
    finished_at bigint
);
{segments unpacked}
CREATE INDEX segments_open ON segments (touched_at) WHERE finished_at IS NULL;

-- Messages that some open segment works on. Its batch does not tell: a stage merges segments of several batches.
CREATE VIEW open_messages AS
SELECT DISTINCT CAST(e.value AS bigint) AS id FROM segments s {messages of s} WHERE s.finished_at IS NULL;

-- A user sees a notification while one of the memberships through which it reached him lasts (or it was addressed to
-- himself, 'u'), once the route stage has decided on it, and not while all of it waits for send_at or was taken back.
CREATE VIEW visible AS
SELECT n.* FROM notifications n
WHERE (instr(n.via, ',u,') > 0 OR EXISTS (
        SELECT 1 FROM memberships ms WHERE ms.user_id = n.user_id AND instr(n.via, ',' || ms.dimension || ',') > 0))
    AND EXISTS (SELECT 1 FROM deliveries d
        WHERE d.message_id = n.message_id AND d.user_id = n.user_id AND d.reason NOT IN ('send_at', 'canceled', 'suspended', 'discarded'));

-- The balance: each row is one that the record lacks or has too many. What is expected stands in another row than what is
-- counted, so that no single row can vanish unseen. Sides are added up instead of joined: it takes one pass over each.
CREATE VIEW balance AS
SELECT 'batch' AS rule, 'batch ' || id AS place, sum(expected) AS expected, sum(found) AS found FROM (
    SELECT id, accepted AS expected, 0 AS found FROM batches
    UNION ALL SELECT batch, 0, count(*) FROM messages GROUP BY batch) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'segments', 'batch ' || id, sum(expected), sum(found) FROM (
    SELECT id, segments AS expected, 0 AS found FROM batches
    UNION ALL SELECT batch, 0, count(*) FROM segments WHERE parent = 0 GROUP BY batch) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'segments', 'segment ' || id, sum(expected), sum(found) FROM (
    SELECT id, children AS expected, 0 AS found FROM segments
    UNION ALL SELECT parent, 0, count(*) FROM segments WHERE parent <> 0 GROUP BY parent) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
-- A message still in its acquire stage has some of its notifications; one that does not exist may have none.
SELECT 'audience', 'message ' || id, sum(expected), sum(found) FROM (
    SELECT id, size AS expected, 0 AS found FROM acquired
    UNION ALL SELECT message_id, 0, count(*) FROM notifications GROUP BY message_id) sides
GROUP BY id HAVING sum(expected) <> sum(found) AND sum(expected) >= 0
UNION ALL
-- A message that no segment works on any more has ended, with a reason or with a delivery for each notification on each
-- of its channels.
SELECT 'message', 'message ' || id, max(size), coalesce(min(n), 0) FROM (
    SELECT id, size, NULL AS n FROM acquired WHERE id NOT IN (SELECT id FROM open_messages) AND size <> 0
    UNION ALL SELECT message_id, 0, count(*) FROM deliveries GROUP BY message_id, channel) sides
GROUP BY id HAVING min(size) < 0 OR max(size) > 0 AND (coalesce(min(n), 0) <> max(size) OR max(n) <> max(size))
UNION ALL
SELECT 'contents', 'segment ' || id, sum(expected), sum(found) FROM (
    SELECT id, planned AS expected, 0 AS found FROM segments WHERE stage = 'render' AND planned > 0
    UNION ALL SELECT segment, 0, count(*) FROM contents GROUP BY segment) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'deliveries', 'segment ' || id, sum(expected), sum(found) FROM (
    SELECT id, planned AS expected, 0 AS found FROM segments WHERE stage = 'route' AND planned > 0
    UNION ALL SELECT segment, 0, count(*) FROM deliveries GROUP BY segment) sides
GROUP BY id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'inbox', 'user ' || user_id, sum(expected), sum(found) FROM (
    SELECT user_id, head AS expected, 0 AS found FROM inboxes
    UNION ALL SELECT user_id, 0, count(*) FROM inbox GROUP BY user_id) sides
GROUP BY user_id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'inbox', 'message ' || message_id, sum(expected), sum(found) FROM (
    SELECT message_id, count(*) AS expected, 0 AS found FROM deliveries WHERE number > 0 GROUP BY message_id
    UNION ALL SELECT message_id, 0, count(*) FROM inbox GROUP BY message_id) sides
GROUP BY message_id HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'budget', 'application ' || application || ' ' || period, sum(expected), sum(found) FROM (
    SELECT application, period, reserved + spent + refunded AS expected, 0 AS found FROM usage
    UNION ALL SELECT application, period, 0, sum(parts) FROM reservations GROUP BY application, period) sides
GROUP BY application, period HAVING sum(expected) <> sum(found)
UNION ALL
SELECT 'attempts', 'message ' || message_id || ' ' || user_id || ' ' || channel, sum(expected), sum(found) FROM (
    SELECT message_id, user_id, channel, attempts AS expected, 0 AS found FROM deliveries WHERE attempts > 0
    UNION ALL SELECT message_id, user_id, channel, 0, count(*) FROM attempts GROUP BY message_id, user_id, channel) sides
GROUP BY message_id, user_id, channel HAVING sum(expected) <> sum(found);
