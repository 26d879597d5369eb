-- name: keep
INSERT INTO rejections (id, source, tenant, reason, cause, received_at, method, target, size, headers, body)
SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11
FROM (VALUES :rows(text, text, text, text, text, bigint, text, text, bigint, text, bytea))
WHERE column1 IS NOT NULL;

-- name: thin_out
DELETE FROM rejections WHERE source = :source AND sequence <= (
    SELECT sequence FROM rejections WHERE source = :source ORDER BY sequence DESC LIMIT 1 OFFSET :kept);

-- name: page_columns
SELECT id, source, tenant, reason, cause, event, received_at, size, sequence FROM rejections

-- name: read
SELECT id, source, tenant, reason, cause, event, received_at, method, target, size, headers, body
FROM rejections WHERE id = :id;

-- name: became
UPDATE rejections SET event = :event WHERE id = :id;

-- name: old
SELECT sequence FROM rejections WHERE received_at < :before ORDER BY received_at LIMIT :limit;

-- name: delete
DELETE FROM rejections WHERE sequence IN (SELECT value FROM json_each(:rejections));
