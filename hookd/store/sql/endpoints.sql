-- name: insert
INSERT INTO endpoints (id, tenant, url, event_types, description, scheme, token, secret, previous_secrets, headers,
    max_in_flight, timeout, retry, metadata, state, state_reason, state_since, failing_since, failing_attempts,
    created_at, updated_at, key_id, rate_limit, ordered, opened_at, openings, blocked_until, told_failing,
    filter, format)
VALUES (:id, :tenant, :url, :event_types, :description, :scheme, :token, :secret, :previous_secrets, :headers,
    :max_in_flight, :timeout, :retry, :metadata, :state, :state_reason, :state_since, :failing_since,
    :failing_attempts, :created_at, :updated_at, :key_id, :rate_limit, :ordered, :opened_at, :openings, :blocked_until,
    :told_failing, :filter, :format);

-- name: update
UPDATE endpoints SET url = :url, event_types = :event_types, description = :description, scheme = :scheme,
    token = :token, secret = :secret, previous_secrets = :previous_secrets, headers = :headers,
    max_in_flight = :max_in_flight, timeout = :timeout, retry = :retry, metadata = :metadata, state = :state,
    state_reason = :state_reason, state_since = :state_since, failing_since = :failing_since,
    failing_attempts = :failing_attempts, updated_at = :updated_at, key_id = :key_id, rate_limit = :rate_limit,
    ordered = :ordered, opened_at = :opened_at, openings = :openings, blocked_until = :blocked_until,
    told_failing = :told_failing, filter = :filter, format = :format
WHERE id = :id;

-- Others need not know: it says what it said.
-- name: reencrypt
UPDATE endpoints SET token = new.column2, secret = new.column3, previous_secrets = new.column4, headers = new.column5,
    key_id = new.column6
FROM (VALUES :rows(text, text, text, text, text, text)) AS new WHERE endpoints.id = new.column1;

-- name: update_health
UPDATE endpoints SET failing_since = new.column2, failing_attempts = new.column3, opened_at = new.column4,
    openings = new.column5, blocked_until = new.column6,
    told_failing = new.column7
FROM (VALUES :rows(text, bigint, bigint, bigint, bigint, bigint, bigint)) AS new WHERE endpoints.id = new.column1;

-- name: delete
DELETE FROM endpoints WHERE id = :id;

-- name: read
SELECT id, tenant, url, event_types, description, scheme, token, secret, previous_secrets, headers, max_in_flight,
    timeout, retry, metadata, state, state_reason, state_since, failing_since, failing_attempts, created_at, updated_at,
    key_id, rate_limit, ordered, opened_at, openings, blocked_until, told_failing, filter, format
FROM endpoints WHERE id = :id;

-- name: subscribe
INSERT INTO subscriptions (tenant, pattern, endpoint)
SELECT column1, column2, column3 FROM (VALUES :rows(text, text, text)) WHERE column1 IS NOT NULL;

-- name: unsubscribe
DELETE FROM subscriptions WHERE endpoint = :id;

-- The patterns that match a type are few and known; their subscribers are found by the primary key.
-- name: subscribers
SELECT DISTINCT endpoint FROM subscriptions
WHERE tenant = :tenant AND pattern IN (SELECT value FROM json_each(:patterns)) ORDER BY endpoint;

-- name: paused
SELECT id FROM endpoints WHERE state = 'paused';

-- name: count_by_state
SELECT state, count(*) FROM endpoints GROUP BY state;

-- name: key_ids
SELECT DISTINCT key_id FROM endpoints;

-- name: page
SELECT id, tenant, url, event_types, description, scheme, token, secret, previous_secrets, headers, max_in_flight,
    timeout, retry, metadata, state, state_reason, state_since, failing_since, failing_attempts, created_at, updated_at,
    key_id, rate_limit, ordered, opened_at, openings, blocked_until, told_failing, filter, format, sequence
FROM endpoints
