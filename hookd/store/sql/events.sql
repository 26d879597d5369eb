-- name: read
SELECT id, tenant, type, origin, payload, content_type, created_at, ordering_key FROM events
WHERE id = :id ORDER BY sequence DESC;

-- name: page_columns
SELECT id, tenant, type, origin, content_type, created_at, ordering_key, sequence FROM events

-- name: expire_keys
DELETE FROM dedupe WHERE (kind, owner, key) IN (
    SELECT kind, owner, key FROM dedupe WHERE created_at < :oldest ORDER BY created_at LIMIT :limit)
RETURNING 1;
