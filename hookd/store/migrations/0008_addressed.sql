-- Whether the publisher named the endpoints: then no other endpoint gets it, not by a replay either.
ALTER TABLE events ADD COLUMN addressed INTEGER NOT NULL DEFAULT 0;

-- Whether hookd.endpoint.failing told of the open breaker, so that hookd.endpoint.recovered has to.
ALTER TABLE endpoints ADD COLUMN told_failing INTEGER NOT NULL DEFAULT 0;
UPDATE endpoints SET told_failing = 1 WHERE opened_at IS NOT NULL;
