-- Requests to sources that were refused. `target` is the path with the query, and `headers` a JSON array of pairs, both
-- without credentials; `size` is how long the body was, of which `body` may be the beginning; `event` is what it became
-- once it was accepted by hand.
CREATE TABLE rejections (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    source       TEXT    NOT NULL,
    tenant       TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    cause        TEXT    NOT NULL,
    event        TEXT,
    received_at  INTEGER NOT NULL,
    method       TEXT    NOT NULL,
    target       TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    headers      TEXT    NOT NULL,
    body         BLOB    NOT NULL
);
CREATE INDEX rejections_source ON rejections (source, sequence);
CREATE INDEX rejections_tenant ON rejections (tenant, sequence) WHERE tenant <> '';
CREATE INDEX rejections_received_at ON rejections (received_at);
