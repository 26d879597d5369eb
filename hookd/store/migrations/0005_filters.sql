-- What an endpoint's events have to be like beyond their type, as JSON text.
ALTER TABLE endpoints ADD COLUMN filter TEXT;
