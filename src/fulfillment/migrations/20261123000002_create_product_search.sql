-- migrate:up
SET lock_timeout = '5s';

-- The product search works by words: a query's unknown words are corrected with trigrams over the vocabulary, once,
-- and products are then found by word. Trigrams over whole product texts cost several times as much, and rank worse.
DROP INDEX products_search;
ALTER TABLE products DROP COLUMN search_text;
ALTER TABLE products ADD COLUMN pills_per_day_limit int CHECK (pills_per_day_limit > 0);

CREATE TABLE product_words (
  word text COLLATE "C" NOT NULL,
  product_id bigint NOT NULL REFERENCES products ON DELETE CASCADE,
  cost smallint NOT NULL,                 -- of a match: the name's words cost least
  PRIMARY KEY (word, product_id) INCLUDE (cost)
);
CREATE INDEX product_words_product ON product_words (product_id);

-- Every word of product_words, once.
CREATE TABLE product_vocabulary (
  word text COLLATE "C" PRIMARY KEY
);
CREATE INDEX product_vocabulary_trigrams ON product_vocabulary USING gist (word gist_trgm_ops);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON product_words, product_vocabulary TO fulfillment;
  END IF;
END
$$;

-- migrate:down
