-- Times are milliseconds since 1970 UTC; a tenant of '' means none; sequences are commit order.

CREATE TABLE events (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT    NOT NULL,
    tenant        TEXT    NOT NULL,
    type          TEXT    NOT NULL,
    origin        TEXT    NOT NULL,
    payload       BLOB    NOT NULL,
    content_type  TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
);
CREATE INDEX events_id ON events (id);
CREATE INDEX events_tenant ON events (tenant, sequence) WHERE tenant <> '';

CREATE TABLE endpoints (
    sequence          INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT    NOT NULL UNIQUE,
    tenant            TEXT    NOT NULL,
    url               TEXT    NOT NULL,
    event_types       TEXT    NOT NULL,
    description       TEXT    NOT NULL,
    scheme            TEXT    NOT NULL,
    token             TEXT,
    secret            TEXT    NOT NULL,
    previous_secrets  TEXT    NOT NULL,
    headers           TEXT    NOT NULL,
    max_in_flight     INTEGER,
    timeout           INTEGER,
    retry             TEXT,
    metadata          TEXT    NOT NULL,
    state             TEXT    NOT NULL,
    state_reason      TEXT,
    state_since       INTEGER NOT NULL,
    failing_since     INTEGER,
    failing_attempts  INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
);
CREATE INDEX endpoints_tenant ON endpoints (tenant, sequence) WHERE tenant <> '';
CREATE INDEX endpoints_state ON endpoints (state);

-- One row for each pattern of an endpoint, so that fan-out costs what it finds, however many endpoints there are.
CREATE TABLE subscriptions (
    tenant    TEXT NOT NULL,
    pattern   TEXT NOT NULL,
    endpoint  TEXT NOT NULL,
    PRIMARY KEY (tenant, pattern, endpoint)
) WITHOUT ROWID;
CREATE INDEX subscriptions_endpoint ON subscriptions (endpoint);

-- A delivery is a row of the outbox. `step` is its place in the retry schedule; `stop` is the reason for which it
-- is cancelled unless the attempt in flight succeeds; `crashes` counts the processes that died while it was sending.
CREATE TABLE outbox (
    sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT    NOT NULL UNIQUE,
    event          INTEGER NOT NULL,
    endpoint       TEXT    NOT NULL,
    tenant         TEXT    NOT NULL,
    type           TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    reason         TEXT,
    stop           TEXT,
    attempt_count  INTEGER NOT NULL DEFAULT 0,
    step           INTEGER NOT NULL DEFAULT 0,
    crashes        INTEGER NOT NULL DEFAULT 0,
    due_at         INTEGER NOT NULL,
    last_error     TEXT,
    created_at     INTEGER NOT NULL
);
CREATE INDEX outbox_due ON outbox (endpoint, due_at, sequence) WHERE status = 'pending';
CREATE INDEX outbox_open ON outbox (status, sequence) WHERE status <> 'delivered';
CREATE INDEX outbox_event ON outbox (event);
CREATE INDEX outbox_endpoint ON outbox (endpoint, sequence);
CREATE INDEX outbox_type ON outbox (type, sequence);
CREATE INDEX outbox_tenant ON outbox (tenant, sequence) WHERE tenant <> '';

CREATE TABLE attempts (
    delivery          INTEGER NOT NULL,
    number            INTEGER NOT NULL,
    id                TEXT    NOT NULL,
    started_at        INTEGER NOT NULL,
    duration          REAL    NOT NULL,
    outcome           TEXT    NOT NULL,
    status_code       INTEGER,
    error             TEXT,
    request_headers   TEXT    NOT NULL,
    response_headers  TEXT    NOT NULL,
    response_body     BLOB    NOT NULL,
    truncated         INTEGER NOT NULL,
    PRIMARY KEY (delivery, number)
) WITHOUT ROWID;

-- What has been accepted already: producers' ids and idempotency keys per tenant, inbound ids per source.
CREATE TABLE dedupe (
    kind        TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    digest      BLOB    NOT NULL,
    event       TEXT    NOT NULL,
    deliveries  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (kind, owner, key)
) WITHOUT ROWID;
CREATE INDEX dedupe_created_at ON dedupe (created_at);
