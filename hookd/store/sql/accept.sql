-- Keys older than :oldest have expired and are overwritten.
-- name: known
SELECT dedupe.kind, dedupe.owner, dedupe.key, dedupe.digest, dedupe.event, dedupe.deliveries
FROM (VALUES :rows(text, text, text, bigint)) AS wanted
CROSS JOIN dedupe ON dedupe.kind = wanted.column1 AND dedupe.owner = wanted.column2 AND dedupe.key = wanted.column3
WHERE dedupe.created_at >= wanted.column4;

-- Answered by a row for each key; fewer where another process has just stored one.
-- name: remember
INSERT INTO dedupe (kind, owner, key, digest, event, deliveries, created_at)
SELECT column1, column2, column3, column4, column5, column6, column7
FROM (VALUES :rows(text, text, text, bytea, text, bigint, bigint, bigint)) WHERE column1 IS NOT NULL
ON CONFLICT (kind, owner, key) DO UPDATE SET digest = excluded.digest, event = excluded.event,
    deliveries = excluded.deliveries, created_at = excluded.created_at
RETURNING 1;

-- name: insert_events
INSERT INTO events (id, tenant, type, origin, payload, content_type, created_at, ordering_key, addressed)
SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9
FROM (VALUES :rows(text, text, text, text, bytea, text, bigint, text, bigint)) WHERE column1 IS NOT NULL;

-- name: insert_outbox
INSERT INTO outbox (id, event, endpoint, tenant, type, status, reason, due_at, created_at, ordering_key, turn, held)
SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11, column12
FROM (VALUES :rows(text, bigint, text, text, text, text, text, bigint, bigint, text, bigint, bigint))
WHERE column1 IS NOT NULL;
