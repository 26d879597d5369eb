-- What makes each destination a lane of its own: its rate limit, its breaker, its order.
ALTER TABLE endpoints ADD COLUMN rate_limit TEXT;
ALTER TABLE endpoints ADD COLUMN ordered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN opened_at INTEGER;
ALTER TABLE endpoints ADD COLUMN openings INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN blocked_until INTEGER;

ALTER TABLE events ADD COLUMN ordering_key TEXT NOT NULL DEFAULT '';

-- Of an ordered destination's deliveries, those that are pending or sending have a `turn`, which counts up among those
-- of the same key. All are `held` but the first, which alone is seen by a claim.
ALTER TABLE outbox ADD COLUMN ordering_key TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN turn INTEGER;
ALTER TABLE outbox ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_turn ON outbox (endpoint, ordering_key, held, turn) WHERE turn IS NOT NULL;
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (endpoint, due_at, sequence) WHERE status = 'pending' AND held = 0;
