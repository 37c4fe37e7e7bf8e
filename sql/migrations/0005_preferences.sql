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
