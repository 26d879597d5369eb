-- What PostgreSQL is asked in place of a statement of another file, by FILE.NAME: where it has to compare the owner of
-- what is being sent, may meet another process, or has other functions. See dialect.py for what both have in common.

-- In the order of the keys, so that no two processes wait for each other. What another has just stored is left as it is,
-- and so comes back as one row less.
-- name: accept.remember
WITH wanted AS MATERIALIZED (
    SELECT * FROM (VALUES :rows(text, text, text, bytea, text, bigint, bigint, bigint)) AS given
)
INSERT INTO dedupe (kind, owner, key, digest, event, deliveries, created_at)
SELECT column1, column2, column3, column4, column5, column6, column7 FROM wanted ORDER BY column1, column2, column3
ON CONFLICT (kind, owner, key) DO UPDATE SET digest = excluded.digest, event = excluded.event,
    deliveries = excluded.deliveries, created_at = excluded.created_at
WHERE dedupe.created_at < (SELECT min(column8) FROM wanted)
RETURNING 1;

-- A newcomer's turn is its sequence.
-- name: accept.insert_outbox
INSERT INTO outbox (sequence, id, event, endpoint, tenant, type, status, reason, due_at, created_at, ordering_key, turn,
    held)
SELECT number, column1, column2, column3, column4, column5, column6, column7, column8, column9, column10,
    CASE WHEN column12 = 2 THEN number ELSE column11 END, column12
FROM (
    SELECT hookd.next_sequence() AS number, given.*
    FROM (VALUES :rows(text, bigint, text, text, text, text, text, bigint, bigint, text, bigint, bigint)) AS given
) AS numbered;

-- name: claim.oldest
SELECT coalesce(json_agg(json_build_array(waiting.endpoint, waiting.sequence, waiting.id, waiting.attempt_count,
    waiting.step, waiting.due_at, waiting.event, events.id, events.tenant, events.type, events.origin,
    events.content_type, events.created_at, events.ordering_key, length(events.payload))
    ORDER BY lane.place, waiting.due_at, waiting.sequence), '[]')::text
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS lane (endpoint, most, place)
CROSS JOIN LATERAL (
    SELECT * FROM outbox_open WHERE endpoint = lane.endpoint AND status = 'pending' AND held = 0
    ORDER BY due_at, sequence LIMIT lane.most
) AS waiting
JOIN events ON events.sequence = waiting.event;

-- name: claim.payloads
SELECT string_agg(events.payload, '' ORDER BY wanted.place)
FROM json_array_elements_text(:events) WITH ORDINALITY AS wanted (sequence, place)
JOIN events ON events.sequence = wanted.sequence::bigint;

-- name: claim.mark
UPDATE outbox_open SET status = 'sending', owner = current_setting('hookd.process')::bigint
WHERE sequence IN (SELECT value FROM json_each(:sequences));

-- name: claim.release
UPDATE outbox SET status = CASE WHEN stop IS NULL THEN 'pending' ELSE 'cancelled' END, reason = stop,
    turn = CASE WHEN stop IS NULL THEN turn END, stop = NULL
WHERE sequence IN (SELECT value FROM json_each(:sequences)) AND status = 'sending'
    AND owner = current_setting('hookd.process')::bigint;

-- Of one process that died, in this and the next ones.
-- name: claim.stop_tests
UPDATE outbox SET stop = 'the endpoint is disabled: ' || (SELECT state_reason FROM endpoints WHERE id = outbox.endpoint)
WHERE status = 'sending' AND owner = :owner AND stop IS NULL
    AND endpoint IN (SELECT id FROM endpoints WHERE state = 'disabled');

-- name: claim.count_sending
SELECT count(*), count(stop) FROM outbox WHERE status = 'sending' AND owner = :owner;

-- name: claim.recover_crashed
UPDATE outbox SET
    crashes = crashes + CASE WHEN endpoint LIKE 'handler:%' THEN 1 ELSE 0 END,
    status = CASE WHEN stop IS NOT NULL THEN 'cancelled'
                  WHEN endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes THEN 'failed' ELSE 'pending' END,
    reason = CASE WHEN stop IS NOT NULL THEN stop
                  WHEN endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes
                      THEN 'the handler was running in ' || (crashes + 1) || ' crashes' END,
    turn = CASE WHEN stop IS NULL AND NOT (endpoint LIKE 'handler:%' AND crashes + 1 >= :crashes) THEN turn END,
    stop = NULL
WHERE status = 'sending' AND owner = :owner;

-- name: claim.crashed
SELECT outbox.id, outbox.endpoint, outbox.type, outbox.attempt_count, outbox.crashes + 1, events.id, events.tenant,
    events.origin
FROM outbox JOIN events ON events.sequence = outbox.event
WHERE outbox.status = 'sending' AND outbox.owner = :owner AND outbox.endpoint LIKE 'handler:%'
    AND outbox.crashes + 1 >= :crashes AND outbox.stop IS NULL;

-- Newcomers wait as well. What another process has configured is not taken for gone.
-- name: claim.handlers_waited_for
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
WHERE status = 'pending' AND held = 2 AND endpoint >= 'handler:' AND endpoint < 'handler;'
UNION
SELECT endpoint FROM outbox WHERE status = 'sending' AND endpoint >= 'handler:' AND endpoint < 'handler;'
EXCEPT
SELECT unnest(handlers) FROM processes;

-- name: endpoints.subscribers
SELECT DISTINCT endpoint FROM subscriptions
WHERE tenant = :tenant AND pattern = ANY (ARRAY(SELECT json_array_elements_text(:patterns))) ORDER BY endpoint;

-- name: events.expire_keys
DELETE FROM dedupe WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM dedupe WHERE created_at < :oldest ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED))
RETURNING 1;

-- Both go along the index of turns, whatever the planner knows: BETWEEN keeps it from that of what is due.
-- name: order.hold
UPDATE outbox_open SET held = 1
FROM (VALUES :rows(text, text)) AS wanted
CROSS JOIN LATERAL (
    SELECT sequence FROM outbox_open
    WHERE endpoint = wanted.column1 AND ordering_key = wanted.column2 AND held BETWEEN 0 AND 0
        AND turn IS NOT NULL AND status = 'pending' OFFSET 0
) AS first
WHERE outbox_open.sequence = first.sequence;

-- name: order.let_go
UPDATE outbox_open SET held = 0
FROM (VALUES :rows(text, text)) AS wanted
CROSS JOIN LATERAL (
    SELECT sequence FROM outbox_open
    WHERE endpoint = wanted.column1 AND ordering_key = wanted.column2 AND held = 1 AND turn IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM outbox_open AS sent
            WHERE sent.endpoint = wanted.column1 AND sent.ordering_key = wanted.column2
                AND sent.held BETWEEN 0 AND 0 AND sent.turn IS NOT NULL)
    ORDER BY turn, sequence LIMIT 1
) AS next
WHERE outbox_open.sequence = next.sequence
RETURNING outbox_open.endpoint, outbox_open.due_at;

-- name: order.keys_sending
SELECT DISTINCT endpoint, ordering_key FROM outbox WHERE status = 'sending' AND owner = :owner AND turn IS NOT NULL;

-- Texts as bytes, as from SQLite; PostgreSQL's function has made an id for a row without one.
-- name: published.oldest
SELECT sequence, convert_to(type, 'UTF8'), payload, convert_to(id, 'UTF8'), convert_to(tenant, 'UTF8'),
    convert_to(ordering_key, 'UTF8'), convert_to(endpoints, 'UTF8'), new_id
FROM published
WHERE sequence IN (
    SELECT sequence FROM (
        SELECT sequence, sum(size) OVER (ORDER BY sequence) - size AS earlier
        FROM (SELECT sequence, length(payload) AS size FROM published
              WHERE fault IS NULL ORDER BY sequence LIMIT :most) AS lane
    ) AS lane WHERE earlier < :bytes
)
ORDER BY sequence;

-- name: record.stopped
SELECT sequence FROM outbox
WHERE sequence IN (SELECT value FROM json_each(:sequences)) AND stop IS NOT NULL AND status = 'sending'
    AND owner = current_setting('hookd.process')::bigint;

-- name: record.conclude
UPDATE outbox SET
    status = CASE WHEN new.column2 <> 'delivered' AND stop IS NOT NULL THEN 'cancelled' ELSE new.column2 END,
    reason = CASE WHEN new.column2 <> 'delivered' AND stop IS NOT NULL THEN stop ELSE new.column3 END,
    turn = CASE WHEN new.column2 = 'pending' AND stop IS NULL THEN turn END,
    stop = NULL, attempt_count = new.column4, step = new.column5, due_at = new.column6, last_error = new.column7,
    crashes = 0
FROM (VALUES :rows(bigint, text, text, bigint, bigint, bigint, text)) AS new
WHERE outbox.sequence = new.column1 AND outbox.status = 'sending'
    AND outbox.owner = current_setting('hookd.process')::bigint;

-- As the times follow the sequences, the planner would walk along these, past all that came later.
-- name: replay.span
SELECT min(sequence), max(sequence) FROM (
    SELECT sequence FROM events WHERE created_at >= :since AND created_at < :until OFFSET 0
) AS found;

-- name: replay.candidates
SELECT events.sequence, events.type, events.origin, events.ordering_key, events.created_at, events.addressed,
    made.sequence, made.status
FROM events LEFT JOIN LATERAL (
    SELECT sequence, status FROM outbox WHERE event = events.sequence AND endpoint || '' = :endpoint OFFSET 0
) AS made ON true
WHERE events.sequence > :after AND events.sequence <= :last AND events.tenant = :tenant
ORDER BY events.sequence LIMIT :limit;
