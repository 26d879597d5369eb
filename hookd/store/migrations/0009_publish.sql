-- What applications publish in transactions of their own, until hookd has picked it up. They write to the view
-- `publish`, whose trigger refuses what can be seen to be no event; docs/outbox.md. `fault` is why a row can't become
-- an event: it stays until somebody removes the row, or sets the fault to NULL.
CREATE TABLE published (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT,
    tenant        TEXT,
    type          TEXT    NOT NULL,
    ordering_key  TEXT    NOT NULL,
    endpoints     TEXT,
    payload       BLOB    NOT NULL,
    fault         TEXT
);
CREATE INDEX published_fault ON published (fault, sequence);

CREATE VIEW publish (type, payload, id, tenant, ordering_key, endpoints) AS
SELECT type, payload, id, tenant, ordering_key, endpoints FROM published;

-- A text that holds a NUL ends there for length() and GLOB, but not for instr().
CREATE TRIGGER publish_insert INSTEAD OF INSERT ON publish
BEGIN
    SELECT CASE
        WHEN typeof(NEW.type) <> 'text' OR length(NEW.type) NOT BETWEEN 1 AND 128 OR instr(NEW.type, char(0))
            OR NEW.type GLOB '*[^A-Za-z0-9_.]*' OR '.' || NEW.type || '.' GLOB '*..*'
        THEN RAISE(ABORT, 'type: expected an event type such as invoice.paid, at most 128 characters')
        WHEN NEW.type || '.' GLOB 'hookd.*'
        THEN RAISE(ABORT, 'type: types that begin with hookd are not published; they tell where an event came from')
        WHEN typeof(NEW.payload) NOT IN ('text', 'blob')
        THEN RAISE(ABORT, 'payload: expected JSON, as text or as a blob in UTF-8')
        WHEN length(CAST(NEW.payload AS BLOB)) > 16777216
        THEN RAISE(ABORT, 'payload: expected at most 16 MiB')
        WHEN instr(CAST(NEW.payload AS BLOB), x'00') OR NOT json_valid(CAST(NEW.payload AS TEXT))
        THEN RAISE(ABORT, 'payload: expected JSON; it is none')
        WHEN NEW.id IS NOT NULL AND (typeof(NEW.id) <> 'text' OR length(NEW.id) NOT BETWEEN 1 AND 128
            OR instr(NEW.id, char(0)) OR NEW.id GLOB '*[^A-Za-z0-9_-]*')
        THEN RAISE(ABORT, 'id: expected 1 to 128 letters, digits, _ or -')
        WHEN NEW.tenant IS NOT NULL AND (typeof(NEW.tenant) <> 'text' OR length(NEW.tenant) NOT BETWEEN 1 AND 128
            OR instr(NEW.tenant, char(0)))
        THEN RAISE(ABORT, 'tenant: expected 1 to 128 printable characters')
        WHEN NEW.ordering_key IS NOT NULL AND (typeof(NEW.ordering_key) <> 'text' OR length(NEW.ordering_key) > 128
            OR instr(NEW.ordering_key, char(0)))
        THEN RAISE(ABORT, 'ordering_key: expected at most 128 characters, without NUL')
        WHEN NEW.endpoints IS NOT NULL AND (typeof(NEW.endpoints) <> 'text' OR NOT json_valid(NEW.endpoints))
        THEN RAISE(ABORT, 'endpoints: expected a JSON array of ids such as ["ep_1"]')
        WHEN NEW.endpoints IS NOT NULL AND (json_type(NEW.endpoints) <> 'array'
            OR json_array_length(NEW.endpoints) NOT BETWEEN 1 AND 100)
        THEN RAISE(ABORT, 'endpoints: expected a JSON array of 1 to 100 ids such as ["ep_1"]')
    END;
    INSERT INTO published (id, tenant, type, ordering_key, endpoints, payload)
    VALUES (NEW.id, NEW.tenant, NEW.type, coalesce(NEW.ordering_key, ''), NEW.endpoints, CAST(NEW.payload AS BLOB));
END;
