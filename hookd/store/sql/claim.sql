-- Where status <> 'delivered' stands beside another condition, it opens the partial index outbox_open to the planner,
-- and a + before a column keeps it from one that is longer.

-- The oldest rows of each lane and the one after them, which tells when the lane is due next. One row comes back, as
-- JSON, since each row that crosses into Python costs the thread a wait for the interpreter's lock.
-- name: oldest
SELECT json_group_array(json_array(outbox.endpoint, outbox.sequence, outbox.id, outbox.attempt_count, outbox.step,
    outbox.due_at, outbox.event, events.id, events.tenant, events.type, events.origin, events.content_type,
    events.created_at, events.ordering_key, length(events.payload)))
FROM (:parts) AS lane CROSS JOIN outbox ON outbox.sequence = lane.sequence
CROSS JOIN events ON events.sequence = outbox.event;

-- End to end as one BLOB, since JSON could not carry their bytes; they are cut apart by their lengths.
-- name: payloads
SELECT CAST(group_concat(payload, '') AS BLOB) FROM (
    SELECT events.payload FROM json_each(:events) AS wanted CROSS JOIN events ON events.sequence = wanted.value
    ORDER BY wanted.key
);

-- Repeated for each lane: its id, and how many rows.
-- name: oldest_of_lane
SELECT * FROM (
    SELECT sequence FROM outbox WHERE endpoint = ? AND status = 'pending' AND held = 0 ORDER BY due_at, sequence LIMIT ?
);

-- name: mark
UPDATE outbox SET status = 'sending' WHERE sequence IN (SELECT value FROM json_each(:sequences));

-- name: release
UPDATE outbox SET status = CASE WHEN stop IS NULL THEN 'pending' ELSE 'cancelled' END, reason = stop,
    turn = CASE WHEN stop IS NULL THEN turn END, stop = NULL
WHERE sequence IN (SELECT value FROM json_each(:sequences)) AND status = 'sending';

-- One step down the index for each lane that has something waiting, however much that is.
-- name: lanes
WITH RECURSIVE lane (endpoint) AS (
    SELECT min(endpoint) FROM outbox WHERE status = 'pending' AND held = 0
    UNION ALL
    SELECT (SELECT min(endpoint) FROM outbox WHERE status = 'pending' AND held = 0 AND outbox.endpoint > lane.endpoint)
    FROM lane WHERE lane.endpoint IS NOT NULL
)
SELECT endpoint,
    (SELECT min(due_at) FROM outbox WHERE status = 'pending' AND held = 0 AND outbox.endpoint = lane.endpoint)
FROM lane WHERE endpoint IS NOT NULL;

-- Handlers are few, and so are the rows that are being sent.
-- name: handlers_waited_for
WITH RECURSIVE lane (endpoint) AS (
    SELECT min(endpoint) FROM outbox
    WHERE status = 'pending' AND held = 0 AND endpoint >= 'handler:' AND endpoint < 'handler;'
    UNION ALL
    SELECT (SELECT min(endpoint) FROM outbox
            WHERE status = 'pending' AND held = 0 AND outbox.endpoint > lane.endpoint
                AND outbox.endpoint < 'handler;')
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
    crashes = crashes + CASE WHEN endpoint LIKE 'handler:%' THEN 1 ELSE 0 END,
    status = CASE WHEN stop IS NOT NULL THEN 'cancelled'
                  WHEN endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes THEN 'failed' ELSE 'pending' END,
    reason = CASE WHEN stop IS NOT NULL THEN stop
                  WHEN endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes
                      THEN 'the handler was running in ' || (crashes + 1) || ' crashes' END,
    turn = CASE WHEN stop IS NULL AND NOT (endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes) THEN turn END,
    stop = NULL
WHERE status = 'sending' AND status <> 'delivered';

-- name: crashed
SELECT outbox.id, outbox.endpoint, outbox.type, outbox.attempt_count, outbox.crashes + 1, events.id, events.tenant,
    events.origin
FROM outbox JOIN events ON events.sequence = outbox.event
WHERE outbox.status = 'sending' AND outbox.status <> 'delivered' AND outbox.endpoint LIKE 'handler:%' AND outbox.crashes + 1 >= :crashes
    AND outbox.stop IS NULL;
