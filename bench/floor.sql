-- Floor and limit: an order as one function call and one statement, with the rows our own create writes (order,
-- reservations, lots, event) and none of its checks. Lots are locked in the order of their ids.
CREATE OR REPLACE FUNCTION bench_order(id_ text, partner text, document_ text, products bigint[]) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('fulfillment.tenant', partner, true);
  WITH chosen AS MATERIALIZED (
    SELECT id, product_id FROM lots
     WHERE product_id = ANY (products) AND lot_number = 'BENCH' AND on_hand - reserved >= 30
     ORDER BY id
       FOR NO KEY UPDATE
  ), taken AS (
    UPDATE lots SET reserved = reserved + 30 FROM chosen WHERE lots.id = chosen.id
  ), kept AS (
    INSERT INTO reservations (order_id, product_id, lot_id, quantity) SELECT id_, product_id, id, 30 FROM chosen
  ), made AS (
    INSERT INTO orders (id, partner_id, days_supply, shipping_method, customer_source_id, customer, document,
                        content_key, created_at, updated_at)
    VALUES (id_, partner, 30, 'STANDARD', 'c1', '{}', document_::json, hashtextextended(id_, 0), now(), now())
  )
  INSERT INTO events (id, partner_id, order_id, order_sequence, type, payload, created_at)
  VALUES ('e' || substr(id_, 2), partner, id_, 1, 'order.created', '{"order":{}}', now());
  RETURN id_;
END
$$;
CREATE OR REPLACE FUNCTION bench_read(partner text, id_ text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('fulfillment.tenant', partner, true);
  RETURN (SELECT document::text FROM orders WHERE id = id_);
END
$$;
GRANT EXECUTE ON FUNCTION bench_order, bench_read TO PUBLIC;
CREATE TABLE IF NOT EXISTS bench_rows (id text COLLATE "C" PRIMARY KEY, body text NOT NULL);
GRANT SELECT, INSERT ON bench_rows TO PUBLIC;
