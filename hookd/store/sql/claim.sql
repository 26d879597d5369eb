-- Where status <> 'delivered' stands beside another condition, it opens the partial index outbox_open to the planner,
-- and a + before a column keeps it from one that is longer.

-- The oldest rows of one lane and the one after them, which tells when the lane is due next. One row comes back,
-- since each row that crosses into Python costs the thread a wait for the interpreter's lock: the columns as JSON,
-- the payloads end to end as one BLOB (JSON could not carry their bytes), cut apart by their lengths. A large one is
-- not among them; to know its length reads none of it.
-- name: oldest
SELECT json_group_array(json_array(sequence, id, attempt_count, step, due_at, event_id, tenant, type, origin,
        content_type, created_at, size)),
    CAST(group_concat(payload, '') AS BLOB)
FROM (
    SELECT outbox.sequence, outbox.id, outbox.attempt_count, outbox.step, outbox.due_at,
        events.id AS event_id, events.tenant, events.type, events.origin, events.content_type, events.created_at,
        length(events.payload) AS size,
        CASE WHEN outbox.due_at <= :now AND length(events.payload) <= :large THEN events.payload END AS payload
    FROM outbox CROSS JOIN events ON events.sequence = outbox.event
    WHERE outbox.endpoint = :endpoint AND outbox.status = 'pending'
    ORDER BY outbox.due_at, outbox.sequence
    LIMIT :limit
);

-- name: payload
SELECT events.payload FROM outbox CROSS JOIN events ON events.sequence = outbox.event
WHERE outbox.sequence = :sequence;

-- name: mark
UPDATE outbox SET status = 'sending' WHERE sequence IN (SELECT value FROM json_each(:sequences));

-- name: release
UPDATE outbox SET status = CASE WHEN stop IS NULL THEN 'pending' ELSE 'cancelled' END, reason = stop, stop = NULL
WHERE sequence IN (SELECT value FROM json_each(:sequences)) AND status = 'sending';

-- One step down the index for each lane that has something waiting, however much that is.
-- name: lanes
WITH RECURSIVE lane (endpoint) AS (
    SELECT min(endpoint) FROM outbox WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT min(endpoint) FROM outbox WHERE status = 'pending' AND outbox.endpoint > lane.endpoint)
    FROM lane WHERE lane.endpoint IS NOT NULL
)
SELECT endpoint, (SELECT min(due_at) FROM outbox WHERE status = 'pending' AND outbox.endpoint = lane.endpoint)
FROM lane WHERE endpoint IS NOT NULL;

-- Handlers are few, and so are the rows that are being sent.
-- name: handlers_waited_for
WITH RECURSIVE lane (endpoint) AS (
    SELECT min(endpoint) FROM outbox WHERE status = 'pending' AND endpoint >= 'handler:' AND endpoint < 'handler;'
    UNION ALL
    SELECT (SELECT min(endpoint) FROM outbox
            WHERE status = 'pending' AND outbox.endpoint > lane.endpoint AND outbox.endpoint < 'handler;')
    FROM lane WHERE lane.endpoint IS NOT NULL
)
SELECT endpoint FROM lane WHERE endpoint IS NOT NULL
UNION
SELECT endpoint FROM outbox
WHERE status = 'sending' AND status <> 'delivered' AND +endpoint >= 'handler:' AND +endpoint < 'handler;';

-- A test of a disabled endpoint alone is sent all the same.
-- name: stop_tests
UPDATE outbox SET stop = 'the endpoint is disabled: ' || (SELECT state_reason FROM endpoints WHERE id = outbox.endpoint)
WHERE status = 'sending' AND status <> 'delivered' AND stop IS NULL
    AND +endpoint IN (SELECT id FROM endpoints WHERE state = 'disabled');

-- name: count_sending
SELECT count(*), count(stop) FROM outbox WHERE status = 'sending' AND status <> 'delivered';

-- name: recover_crashed
UPDATE outbox SET
    crashes = crashes + (endpoint LIKE 'handler:%'),
    status = CASE WHEN stop IS NOT NULL THEN 'cancelled'
                  WHEN endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes THEN 'failed' ELSE 'pending' END,
    reason = CASE WHEN stop IS NOT NULL THEN stop
                  WHEN endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes
                      THEN 'the handler was running in ' || (crashes + 1) || ' crashes' END,
    stop = NULL
WHERE status = 'sending' AND status <> 'delivered';

-- name: crashed
SELECT outbox.id, outbox.endpoint, outbox.type, outbox.attempt_count, outbox.crashes + 1, events.id, events.tenant,
    events.origin
FROM outbox JOIN events ON events.sequence = outbox.event
WHERE outbox.status = 'sending' AND outbox.status <> 'delivered' AND outbox.endpoint LIKE 'handler:%' AND outbox.crashes + 1 >= :crashes
    AND outbox.stop IS NULL;
