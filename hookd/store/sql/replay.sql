-- Events are in commit order, and so nearly in that of their times.
-- name: event_at
SELECT sequence, created_at FROM events WHERE sequence >= :sequence ORDER BY sequence LIMIT 1;

-- name: newest
SELECT max(sequence) FROM events;

-- name: candidates
SELECT events.sequence, events.type, events.origin, events.ordering_key, events.created_at, outbox.sequence,
    outbox.status
FROM events LEFT JOIN outbox ON outbox.event = events.sequence AND +outbox.endpoint = :endpoint
WHERE events.sequence > :after AND events.sequence <= :last AND +events.tenant = :tenant
ORDER BY events.sequence LIMIT :limit;

-- name: requeue
UPDATE outbox SET status = 'pending', reason = NULL, stop = NULL, step = 0, crashes = 0, due_at = new.column2,
    ordering_key = new.column3, turn = new.column4, held = new.column4 IS NOT NULL
FROM (VALUES :rows) AS new WHERE outbox.sequence = new.column1;
