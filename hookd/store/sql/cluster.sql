-- Processes that share a PostgreSQL server: who lives, whose lanes are whose. PostgreSQL alone carries these out.

-- First in every transaction: a number to ask the commit's fate by, whether I still am a member, up to which version
-- endpoints have changed, and what time it is.
-- name: enter
SELECT pg_current_xact_id()::text, EXISTS (SELECT FROM hookd.processes WHERE number = :number),
    (SELECT coalesce(max(version), 0) FROM hookd.changes),
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- The same, and the lease is renewed.
-- name: enter_renewing
WITH renewed AS (
    UPDATE hookd.processes SET expires_at = clock_timestamp() + :lease * interval '1 millisecond'
    WHERE number = :number RETURNING 1
)
SELECT pg_current_xact_id()::text, EXISTS (SELECT FROM renewed),
    (SELECT coalesce(max(version), 0) FROM hookd.changes),
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- name: newest_change
SELECT coalesce(max(version), 0) FROM hookd.changes;

-- name: changed
SELECT DISTINCT endpoint FROM hookd.changes WHERE version > :known AND version <= :newest;

-- name: join
WITH joined AS (
    INSERT INTO hookd.processes (name, handlers, key_id, expires_at)
    VALUES (:name, :handlers, :key_id, clock_timestamp() + :lease * interval '1 millisecond') RETURNING number
)
INSERT INTO hookd.present (process) SELECT number FROM joined RETURNING process;

-- What became of a transaction; NULL where the server has crashed since, and its number may be another's now.
-- name: fate
SELECT CASE WHEN EXISTS (SELECT FROM hookd.present WHERE process = :number)
    THEN pg_xact_status(:transaction::text::xid8) END;

-- Who encrypts with another key, of those that live.
-- name: strangers
SELECT name FROM hookd.processes WHERE key_id <> :key_id AND expires_at > clock_timestamp() ORDER BY name;

-- Not while a transaction of its own is under way, which holds the same lock.
-- name: bury
DELETE FROM hookd.processes
WHERE number = :number AND expires_at < clock_timestamp() AND pg_try_advisory_xact_lock(:key::integer, :number::integer)
RETURNING name;

-- As who has an expired process's lock shared is that process itself.
-- name: end_sessions
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN hookd.processes ON number = objid::bigint
WHERE locktype = 'advisory' AND classid::bigint = :key AND objsubid = 2 AND mode = 'ShareLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND expires_at < clock_timestamp();

-- It wants no lanes any more, so that others take a larger share.
-- name: retire
UPDATE hookd.processes SET retiring = true WHERE number = :number AND NOT retiring;

-- name: configure
UPDATE hookd.processes SET handlers = :handlers WHERE number = :number;

-- name: leave
DELETE FROM hookd.processes WHERE number = :number;

-- name: vacate
UPDATE hookd.slots SET owner = NULL WHERE owner = :number;

-- Who lives, whose each slot is, and whose leases have expired. After the server was away, since when nobody could renew,
-- each has a whole lease to come back.
-- name: census
SELECT (SELECT count(*) FROM hookd.processes WHERE NOT retiring), (SELECT array_agg(coalesce(owner, 0) ORDER BY slot) FROM hookd.slots),
    ARRAY(SELECT number FROM hookd.processes
          WHERE expires_at < clock_timestamp() AND number <> :number
              AND pg_postmaster_start_time() + :lease * interval '1 millisecond' < clock_timestamp());

-- name: gain
UPDATE hookd.slots SET owner = :number WHERE slot IN (
    SELECT slot FROM hookd.slots WHERE owner IS NULL ORDER BY slot LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING slot;

-- name: lose
UPDATE hookd.slots AS mine SET owner = NULL FROM (VALUES :rows(integer, integer)) AS wanted
WHERE mine.slot = wanted.column1 AND mine.owner = wanted.column2;

-- name: forget_changes
DELETE FROM hookd.changes WHERE at < clock_timestamp() - interval '1 hour';

-- The attempt count tells one claim from an earlier one, and the number from one before this process was taken for dead.
-- name: still_ours
SELECT outbox.sequence FROM (VALUES :rows(bigint, bigint, bigint)) AS wanted
JOIN outbox ON outbox.sequence = wanted.column1
WHERE outbox.status = 'sending' AND outbox.attempt_count = wanted.column2 AND outbox.owner = wanted.column3
    AND outbox.owner = current_setting('hookd.process')::bigint
FOR UPDATE OF outbox;

-- As newcomers get them, so that these come behind.
-- name: turns
SELECT hookd.next_sequence() FROM generate_series(1, :count);

-- name: take_in
UPDATE outbox_open SET held = 1
FROM (VALUES :rows(text)) AS wanted
CROSS JOIN LATERAL (
    SELECT sequence FROM outbox_open WHERE endpoint = wanted.column1 AND status = 'pending' AND held = 2 OFFSET 0
) AS newcomer
WHERE outbox_open.sequence = newcomer.sequence
RETURNING outbox_open.endpoint, outbox_open.ordering_key;

-- Lanes that have something waiting, and when that is due; also those whose owner has yet to take something in. As
-- lanes of claim.sql, for which see there. A row without a lane says that applications have published something.
-- name: due
WITH RECURSIVE lane (endpoint) AS (
    SELECT min(endpoint) FROM outbox WHERE status = 'pending' AND held = 0
    UNION ALL
    SELECT (SELECT min(endpoint) FROM outbox WHERE status = 'pending' AND held = 0 AND outbox.endpoint > lane.endpoint)
    FROM lane WHERE lane.endpoint IS NOT NULL
)
SELECT endpoint,
    (SELECT min(due_at) FROM outbox WHERE status = 'pending' AND held = 0 AND outbox.endpoint = lane.endpoint)
FROM lane WHERE endpoint IS NOT NULL
UNION ALL
SELECT endpoint, min(due_at) FROM outbox WHERE status = 'pending' AND held = 2 GROUP BY endpoint
UNION ALL
(SELECT NULL, 0 FROM published WHERE fault IS NULL ORDER BY sequence LIMIT 1);
