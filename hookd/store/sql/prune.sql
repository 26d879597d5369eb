-- An event stays while any of its deliveries waits or is being sent, and until all that became of it is old: of a
-- delivery that has ended, due_at is when. A null is an event without deliveries.

-- What comes after one place, in order, as one row: see claim.sql. `pages` is what deleting costs, a row counted as one.
-- name: met
SELECT json_group_array(json_array(created_at, sequence, stays, pages, payload)) FROM (
    SELECT events.created_at, events.sequence,
        coalesce(outbox.status IN ('pending', 'sending') OR outbox.due_at >= :before, 0) AS stays,
        1 + (SELECT count(*) + total(length(response_body)) / :page FROM attempts
             WHERE attempts.delivery = outbox.sequence) AS pages,
        length(events.payload) / :page AS payload
    FROM events LEFT JOIN outbox ON outbox.event = events.sequence
    WHERE (events.created_at, events.sequence) > (:created_at, :sequence) AND events.created_at < :before
    ORDER BY events.created_at, events.sequence
    LIMIT :limit
);

-- name: over
SELECT json_group_array(wanted.value) FROM json_each(:events) AS wanted
WHERE NOT EXISTS (
    SELECT 1 FROM outbox
    WHERE outbox.event = wanted.value AND (outbox.status IN ('pending', 'sending') OR outbox.due_at >= :before)
);

-- name: delete_attempts
DELETE FROM attempts WHERE delivery IN (
    SELECT sequence FROM outbox WHERE event IN (SELECT value FROM json_each(:events)));

-- name: delete_outbox
DELETE FROM outbox WHERE event IN (SELECT value FROM json_each(:events));

-- name: delete_events
DELETE FROM events WHERE sequence IN (SELECT value FROM json_each(:events)) RETURNING 1;
