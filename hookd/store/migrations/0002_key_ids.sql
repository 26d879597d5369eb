-- Which key the secrets of a row (token, secret, previous_secrets, headers) are encrypted with; '' where they are plain.
ALTER TABLE endpoints ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
CREATE INDEX endpoints_key_id ON endpoints (key_id);
