-- status <> 'delivered' and + as in claim.sql.

-- name: columns
SELECT outbox.id, events.id, outbox.type, outbox.tenant, outbox.endpoint, outbox.status,
    coalesce(outbox.stop, outbox.reason), outbox.attempt_count,
    CASE WHEN outbox.status = 'pending' THEN outbox.due_at END, outbox.last_error, outbox.created_at, outbox.sequence
FROM outbox CROSS JOIN events ON events.sequence = outbox.event

-- name: locate
SELECT sequence, tenant, endpoint, status FROM outbox WHERE id = :id;

-- name: retry
UPDATE outbox SET status = 'pending', reason = NULL, stop = NULL, step = 0, crashes = 0, due_at = :now
WHERE sequence = :sequence;

-- name: cancel
UPDATE outbox SET status = 'cancelled', reason = :reason WHERE sequence = :sequence AND status = 'pending';

-- name: stop
UPDATE outbox SET stop = :reason WHERE sequence = :sequence AND status = 'sending';

-- name: count_waiting
SELECT count(*) FROM outbox WHERE endpoint = :endpoint AND status = 'pending';

-- name: cancel_waiting
UPDATE outbox SET status = 'cancelled', reason = :reason WHERE endpoint = :endpoint AND status = 'pending';

-- name: stop_sending
UPDATE outbox SET stop = :reason WHERE status = 'sending' AND status <> 'delivered' AND +endpoint = :endpoint;

-- name: hasten
UPDATE outbox SET due_at = :now WHERE endpoint = :endpoint AND status = 'pending' AND due_at > :now;

-- name: attempts
SELECT id, number, started_at, duration, outcome, status_code, error, request_headers, response_headers,
    response_body, truncated
FROM attempts WHERE delivery = :delivery ORDER BY number DESC LIMIT :latest;

-- name: depth
SELECT status, count(*) FROM outbox
WHERE status IN ('pending', 'sending') AND status <> 'delivered' GROUP BY status;
