-- How an ordered destination keeps its order: see 0003_lanes.sql for `turn` and `held`.

-- The last turn that was given among those of a destination and key, if any waits or is being sent.
-- name: last_turns
SELECT wanted.column1, wanted.column2,
    (SELECT max(turn) FROM outbox
     WHERE endpoint = wanted.column1 AND ordering_key = wanted.column2 AND held = 0 AND turn IS NOT NULL),
    (SELECT max(turn) FROM outbox
     WHERE endpoint = wanted.column1 AND ordering_key = wanted.column2 AND held = 1 AND turn IS NOT NULL)
FROM (VALUES :rows(text, text)) AS wanted WHERE wanted.column1 IS NOT NULL;

-- name: hold
UPDATE outbox SET held = 1 WHERE sequence IN (
    SELECT first.sequence FROM (VALUES :rows(text, text)) AS wanted
    CROSS JOIN outbox AS first ON first.endpoint = wanted.column1 AND first.ordering_key = wanted.column2
        AND first.held = 0 AND first.turn IS NOT NULL
    WHERE first.status = 'pending'
);

-- Once all that wait are held, what is not held is being sent.
-- name: let_go
UPDATE outbox SET held = 0 WHERE sequence IN (
    SELECT (SELECT sequence FROM outbox AS next
            WHERE next.endpoint = wanted.column1 AND next.ordering_key = wanted.column2 AND next.held = 1
                AND next.turn IS NOT NULL
            ORDER BY next.turn, next.sequence LIMIT 1)
    FROM (VALUES :rows(text, text)) AS wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM outbox AS sent
        WHERE sent.endpoint = wanted.column1 AND sent.ordering_key = wanted.column2 AND sent.held = 0
            AND sent.turn IS NOT NULL)
)
RETURNING endpoint, due_at;

-- name: line_up_waiting
UPDATE outbox SET turn = sequence, ordering_key = (SELECT ordering_key FROM events WHERE events.sequence = outbox.event)
WHERE endpoint = :endpoint AND status = 'pending' AND held = 0 AND turn IS NULL;

-- name: line_up_sending
UPDATE outbox SET turn = sequence, ordering_key = (SELECT ordering_key FROM events WHERE events.sequence = outbox.event)
WHERE status = 'sending' AND status <> 'delivered' AND +endpoint = :endpoint AND turn IS NULL;

-- name: keys
SELECT DISTINCT endpoint, ordering_key FROM outbox WHERE endpoint = :endpoint AND turn IS NOT NULL;

-- name: in_line
SELECT 1 FROM outbox WHERE endpoint = :endpoint AND turn IS NOT NULL LIMIT 1;

-- name: out_of_line
SELECT 1 FROM (
    SELECT 1 FROM outbox WHERE endpoint = :endpoint AND status = 'pending' AND held = 0 AND turn IS NULL
    UNION ALL
    SELECT 1 FROM outbox
    WHERE status = 'sending' AND status <> 'delivered' AND +endpoint = :endpoint AND turn IS NULL
) AS waiting LIMIT 1;

-- name: keys_sending
SELECT DISTINCT endpoint, ordering_key FROM outbox
WHERE status = 'sending' AND status <> 'delivered' AND turn IS NOT NULL;

-- name: dissolve
UPDATE outbox SET turn = NULL, held = 0 WHERE endpoint = :endpoint AND turn IS NOT NULL;
