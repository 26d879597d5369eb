-- The outbox of applications: see 0009_publish.sql.

-- name: waits
SELECT sequence FROM published WHERE fault IS NULL ORDER BY sequence LIMIT 1;

-- Some of the oldest rows, and no more than bring so many bytes of payloads into memory, but for a single one. What
-- applications wrote is read as bytes: a text of SQLite's may be none. The last column is the id that was made for a row
-- without one, which SQLite's trigger could tell nobody.
-- name: oldest
SELECT sequence, CAST(type AS BLOB), CAST(payload AS BLOB), CAST(id AS BLOB), CAST(tenant AS BLOB),
    CAST(ordering_key AS BLOB), CAST(endpoints AS BLOB), NULL
FROM published
WHERE sequence IN (
    SELECT sequence FROM (
        SELECT sequence, sum(size) OVER (ORDER BY sequence) - size AS earlier
        FROM (SELECT sequence, length(payload) AS size FROM published
              WHERE fault IS NULL ORDER BY sequence LIMIT :most) AS lane
    ) AS lane WHERE earlier < :bytes
)
ORDER BY sequence;

-- name: delete
DELETE FROM published WHERE sequence IN (SELECT value FROM json_each(:sequences));

-- name: refuse
UPDATE published SET fault = new.column2 FROM (VALUES :rows(bigint, text)) AS new WHERE published.sequence = new.column1;

-- name: count_refused
SELECT count(*) FROM published WHERE fault IS NOT NULL;
