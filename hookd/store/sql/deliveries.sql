-- status <> 'delivered' and + as in claim.sql.

-- What is due and waits all the same waits for its endpoint, whose row says why. Of a newcomer (held = 2) it is not
-- known yet whether another goes first.
-- name: columns
SELECT outbox.id, events.id, outbox.type, outbox.tenant, outbox.endpoint, outbox.status,
    coalesce(outbox.stop, outbox.reason, CASE
        WHEN outbox.held = 1 THEN 'an older delivery of this ordered endpoint goes first'
        WHEN outbox.status <> 'pending' OR outbox.due_at > :now THEN NULL
        WHEN endpoints.state = 'paused' THEN 'the endpoint is paused'
        WHEN endpoints.opened_at IS NOT NULL AND endpoints.blocked_until > :now
            THEN 'the endpoint keeps failing and is left alone for a while'
        WHEN endpoints.opened_at IS NOT NULL THEN 'the endpoint keeps failing; one delivery at a time is tried'
        WHEN endpoints.blocked_until > :now THEN 'the receiver asked for a pause (Retry-After)'
        WHEN endpoints.rate_limit IS NOT NULL
            THEN 'it waits for its turn within the endpoint''s rate limit of ' || endpoints.rate_limit
    END),
    outbox.attempt_count, CASE WHEN outbox.status = 'pending' AND outbox.held <> 1 THEN outbox.due_at END,
    outbox.last_error, outbox.created_at, outbox.sequence
FROM outbox CROSS JOIN events ON events.sequence = outbox.event LEFT JOIN endpoints ON endpoints.id = outbox.endpoint

-- name: locate
SELECT outbox.sequence, outbox.tenant, outbox.endpoint, outbox.status, events.ordering_key
FROM outbox CROSS JOIN events ON events.sequence = outbox.event WHERE outbox.id = :id;

-- What is retried goes before all that waits in its line, whose turns count from 1, and keeps the order of the events
-- among what is retried besides. A newcomer stays one.
-- name: retry
UPDATE outbox SET status = 'pending', reason = NULL, stop = NULL, step = 0, crashes = 0, due_at = :now,
    ordering_key = :ordering_key, turn = CASE WHEN :ordered > 0 THEN coalesce(turn, event - 4611686018427387904) END,
    held = CASE WHEN held = 2 THEN held ELSE :ordered END
WHERE sequence = :sequence;

-- name: cancel
UPDATE outbox SET status = 'cancelled', reason = :reason, due_at = :now, turn = NULL, held = 0
WHERE sequence = :sequence AND status = 'pending';

-- name: stop
UPDATE outbox SET stop = :reason WHERE sequence = :sequence AND status = 'sending';

-- name: count_waiting
SELECT (SELECT count(*) FROM outbox WHERE endpoint = :endpoint AND status = 'pending' AND held = 0)
    + (SELECT count(*) FROM outbox WHERE endpoint = :endpoint AND turn IS NOT NULL AND held > 0);

-- name: cancel_waiting
UPDATE outbox SET status = 'cancelled', reason = :reason, due_at = :now, turn = NULL
WHERE endpoint = :endpoint AND status = 'pending' AND held = 0;

-- name: cancel_held
UPDATE outbox SET status = 'cancelled', reason = :reason, due_at = :now, turn = NULL, held = 0
WHERE endpoint = :endpoint AND turn IS NOT NULL AND held > 0;

-- name: stop_sending
UPDATE outbox SET stop = :reason WHERE status = 'sending' AND status <> 'delivered' AND +endpoint = :endpoint;

-- name: hasten
UPDATE outbox SET due_at = :now WHERE endpoint = :endpoint AND status = 'pending' AND held = 0 AND due_at > :now;

-- name: hasten_held
UPDATE outbox INDEXED BY outbox_turn SET due_at = :now WHERE endpoint = :endpoint AND turn IS NOT NULL AND held > 0 AND due_at > :now;

-- name: attempts
SELECT id, number, started_at, duration, outcome, status_code, error, request_headers, response_headers,
    response_body, truncated
FROM attempts WHERE delivery = :delivery ORDER BY number DESC LIMIT :latest;

-- name: depth
SELECT status, count(*) FROM outbox
WHERE status IN ('pending', 'sending') AND status <> 'delivered' GROUP BY status;
