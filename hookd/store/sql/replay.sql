-- Where the clock was set back, events are not in the order of their times.
-- name: span
SELECT min(sequence), max(sequence) FROM events WHERE created_at >= :since AND created_at < :until;

-- name: candidates
SELECT events.sequence, events.type, events.origin, events.ordering_key, events.created_at, events.addressed,
    outbox.sequence, outbox.status
FROM events LEFT JOIN outbox ON outbox.event = events.sequence AND +outbox.endpoint = :endpoint
WHERE events.sequence > :after AND events.sequence <= :last AND +events.tenant = :tenant
ORDER BY events.sequence LIMIT :limit;

-- name: payload
SELECT payload FROM events WHERE sequence = :sequence;

-- name: requeue
UPDATE outbox SET status = 'pending', reason = NULL, stop = NULL, step = 0, crashes = 0, due_at = new.column2,
    ordering_key = new.column3, turn = new.column4, held = CASE WHEN new.column4 IS NULL THEN 0 ELSE 1 END
FROM (VALUES :rows(bigint, bigint, text, bigint)) AS new WHERE outbox.sequence = new.column1;
