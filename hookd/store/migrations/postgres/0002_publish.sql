-- What applications publish in transactions of their own, until hookd has picked it up; docs/outbox.md. `id` is the
-- application's own, where it gave one, and else `new_id` the event's. `fault` is why a row can't become an event: it
-- stays until somebody removes the row, or sets the fault to NULL. Rows live for moments, so that vacuum has to keep up.
CREATE TABLE hookd.published (
    sequence      bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            text    COLLATE "C",
    new_id        text    COLLATE "C",
    tenant        text    COLLATE "C",
    type          text    COLLATE "C" NOT NULL,
    ordering_key  text    COLLATE "C" NOT NULL,
    endpoints     text    COLLATE "C",
    payload       bytea   NOT NULL,
    fault         text    COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX published_waiting ON hookd.published (sequence) WHERE fault IS NULL;
CREATE INDEX published_refused ON hookd.published (sequence) WHERE fault IS NOT NULL;

-- As hookd.ids makes them: a prefix, ten characters of milliseconds, ten of randomness, in Crockford's base 32.
CREATE FUNCTION hookd.new_event_id() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT 'evt_' || string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', (part.number >> digit.shift & 31)::integer + 1, 1), ''
        ORDER BY part.place, digit.shift DESC)
    FROM (VALUES
        (1, (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint),
        (2, ('x' || left(replace(gen_random_uuid()::text, '-', ''), 12))::bit(48)::bigint)
    ) AS part (place, number)
    CROSS JOIN generate_series(0, 45, 5) AS digit (shift);
END;

-- Publish an event once the transaction commits, and wake hookd then; answer the event's id. A role that may call it
-- needs USAGE of the schema and EXECUTE of this function, and nothing else.
CREATE FUNCTION hookd.publish(
    type text, payload json, id text DEFAULT NULL, tenant text DEFAULT NULL, ordering_key text DEFAULT '',
    endpoints text[] DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    fault text := CASE
        WHEN type IS NULL OR length(type) > 128 OR type !~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$'
        THEN 'type: expected an event type such as invoice.paid, at most 128 characters'
        WHEN type ~ '^hookd(\.|$)'
        THEN 'type: types that begin with hookd are not published; they tell where an event came from'
        WHEN payload IS NULL
        THEN 'payload: expected JSON'
        WHEN octet_length(payload::text) > 16777216
        THEN 'payload: expected at most 16 MiB'
        WHEN id !~ '^[A-Za-z0-9_-]{1,128}$'
        THEN 'id: expected 1 to 128 letters, digits, _ or -'
        WHEN length(tenant) NOT BETWEEN 1 AND 128
        THEN 'tenant: expected 1 to 128 printable characters'
        WHEN length(ordering_key) > 128
        THEN 'ordering_key: expected at most 128 characters'
        WHEN cardinality(endpoints) NOT BETWEEN 1 AND 100 OR array_position(endpoints, NULL) IS NOT NULL
        THEN 'endpoints: expected an array of 1 to 100 ids of endpoints'
    END;
    new_id text := CASE WHEN id IS NULL THEN hookd.new_event_id() END;
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = fault, ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO hookd.published (id, new_id, tenant, type, ordering_key, endpoints, payload)
    VALUES (id, new_id, tenant, type, coalesce(ordering_key, ''), array_to_json(endpoints)::text,
        convert_to(payload::text, 'UTF8'));
    PERFORM pg_notify('hookd', 'published');
    RETURN coalesce(id, new_id);
END;
$$;
REVOKE ALL ON FUNCTION hookd.publish, hookd.new_event_id FROM PUBLIC;
