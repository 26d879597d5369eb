-- name: insert_attempts
INSERT INTO attempts (delivery, number, id, started_at, duration, outcome, status_code, error,
    request_headers, response_headers, response_body, truncated)
SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11, column12
FROM (VALUES :rows(bigint, bigint, text, bigint, double precision, text, bigint, text, text, text, bytea, bigint))
WHERE column1 IS NOT NULL
ON CONFLICT (delivery, number) DO UPDATE SET id = excluded.id, started_at = excluded.started_at,
    duration = excluded.duration, outcome = excluded.outcome, status_code = excluded.status_code,
    error = excluded.error, request_headers = excluded.request_headers,
    response_headers = excluded.response_headers, response_body = excluded.response_body,
    truncated = excluded.truncated;

-- name: stopped
SELECT sequence FROM outbox
WHERE sequence IN (SELECT value FROM json_each(:sequences)) AND stop IS NOT NULL AND status = 'sending';

-- A delivery that is to stop (cancelled, or its endpoint disabled or deleted, while it was being sent) is pending
-- no more; a success wins.
-- name: conclude
UPDATE outbox SET
    status = CASE WHEN new.column2 <> 'delivered' AND stop IS NOT NULL THEN 'cancelled' ELSE new.column2 END,
    reason = CASE WHEN new.column2 <> 'delivered' AND stop IS NOT NULL THEN stop ELSE new.column3 END,
    turn = CASE WHEN new.column2 = 'pending' AND stop IS NULL THEN turn END,
    stop = NULL, attempt_count = new.column4, step = new.column5, due_at = new.column6, last_error = new.column7,
    crashes = 0
FROM (VALUES :rows(bigint, text, text, bigint, bigint, bigint, text)) AS new WHERE outbox.sequence = new.column1 AND outbox.status = 'sending';
