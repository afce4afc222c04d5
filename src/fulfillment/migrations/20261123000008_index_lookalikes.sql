-- migrate:up
SET lock_timeout = '5s';

-- The newest order with a content is one look, however many there are of it.
CREATE INDEX orders_lookalikes ON orders (content_key, created_at DESC);
DROP INDEX orders_content;

-- migrate:down
