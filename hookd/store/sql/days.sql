-- Days of events, deliveries that have ended, and attempts, each in partitions of its own. PostgreSQL alone has them.

-- name: make
SELECT hookd.make_day(hookd.today() + ahead) FROM generate_series(0, :ahead::integer) AS ahead;

-- name: old
SELECT day FROM hookd.days
WHERE (day + 1) * 86400000::bigint + :age < extract(epoch FROM clock_timestamp()) * 1000 ORDER BY day;

-- name: drop
SELECT hookd.drop_day(:day);
