-- What the body of an attempt is made of: the payload alone, or an envelope around it.
ALTER TABLE endpoints ADD COLUMN format TEXT NOT NULL DEFAULT 'plain';
