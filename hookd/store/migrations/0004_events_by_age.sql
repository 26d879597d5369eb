-- Pruning goes from the oldest event on. In its row the time stands behind the payload, which would have to be read.
CREATE INDEX events_created_at ON events (created_at);
