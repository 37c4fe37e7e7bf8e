-- Accounts at providers, and how they fare.

-- settings is JSON; secrets is sealed JSON, '' when there are none. application '' serves every application.
CREATE TABLE integrations (
    id          {id} PRIMARY KEY,
    application {id} NOT NULL DEFAULT '',
    channel     text NOT NULL,
    provider    text NOT NULL,
    name        text NOT NULL DEFAULT '',
    state       text NOT NULL,
    ord         bigint NOT NULL,
    weight      bigint NOT NULL,
    settings    text NOT NULL,
    secrets     text NOT NULL,
    rate        double precision NOT NULL,
    burst       bigint NOT NULL,
    parallel    bigint NOT NULL,
    created_at  bigint NOT NULL,
    changed_at  bigint NOT NULL
);

-- Goes up with every change of an integration: workers read this one number every second or two.
INSERT INTO counters (name, value) VALUES ('integrations', 1);

-- What each worker saw of each integration, minute by minute, an hour back. Times p50 and p99 are in milliseconds.
CREATE TABLE integration_health (
    integration {id} NOT NULL,
    worker      {id} NOT NULL,
    minute      bigint NOT NULL,
    breaker     text NOT NULL,
    calls       bigint NOT NULL,
    accepted    bigint NOT NULL,
    refused     bigint NOT NULL,
    busy        bigint NOT NULL,
    unknown     bigint NOT NULL,
    p50         bigint NOT NULL,
    p99         bigint NOT NULL,
    error       text NOT NULL,
    at          bigint NOT NULL,
    PRIMARY KEY (integration, worker, minute)
);
CREATE INDEX integration_health_minute ON integration_health (minute);
