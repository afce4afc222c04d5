-- migrate:up
SET lock_timeout = '5s';

-- A batch of creates where nothing is special, in one round trip and one transaction: the lots are locked, all that the
-- orders rest on is looked at after the wait for the locks, and everything is written (docs/decisions/0013). Where
-- anything is special it writes nothing and says what: the caller does the batch step by step. It runs with the caller's
-- rights, so row-level security holds in it as everywhere. A later release that needs other arguments makes a function
-- of another name: processes of both releases run side by side while one replaces the other.
--
-- Its plans are made once for each session: to make them anew for each batch takes longer than to run them. They must
-- hold for tables that grow from nothing to millions of rows before anybody looks at their sizes again, so what is
-- only good for small ones is off: each row is reached by its index.
CREATE FUNCTION accept_orders(
  tenants text, seen_catalog bigint, seen_partners bigint, seen_shipping bigint, lookalikes_since timestamptz,
  demand_orders text[], demand_products bigint[], demand_amounts int[], demand_expiries date[],
  -- One element for each order; what it does not have is NULL.
  order_ids text[], order_partners text[], days_supplies smallint[], shipping_methods text[], protocol_ids text[],
  customer_source_ids text[], customers json[], documents json[], order_warnings json[], content_keys bigint[],
  release_moments timestamptz[], moments timestamptz[],
  event_ids text[], payloads json[], delivery_ids text[], on_clocks boolean[],
  key_operations text[], keys text[], fingerprints bytea[], bodies bytea[])
RETURNS text
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  picked text[];
BEGIN
  PERFORM set_config('fulfillment.tenant', tenants, true);
  PERFORM 1 FROM lots
    WHERE product_id = ANY (demand_products) AND state = 'APPROVED' AND on_hand > reserved
    ORDER BY id
      FOR NO KEY UPDATE;
  -- Each statement from here on sees what was committed while the one above waited.
  IF (SELECT count(*) FROM cache_versions
       WHERE (name, version) IN (('catalog', seen_catalog), ('partners', seen_partners), ('shipping', seen_shipping)))
     <> 3 THEN
    RETURN 'stale';
  END IF;
  IF EXISTS (
       SELECT FROM unnest(order_partners, key_operations, keys) AS asked (partner_id, operation, key)
         JOIN idempotency_keys AS stored USING (partner_id, operation, key)) THEN
    RETURN 'key';
  END IF;
  IF EXISTS (
       SELECT FROM unnest(content_keys) AS asked (content_key)
         JOIN orders ON orders.content_key = asked.content_key
        WHERE orders.status <> 'CANCELLED' AND orders.created_at > lookalikes_since) THEN
    RETURN 'lookalike';
  END IF;
  -- The first lot in the order of taking that lasts long enough and covers the demand alone. That is what taking order
  -- by order picks too, as long as each lot covers all that is picked of it here: its constraint holds it to that.
  SELECT array_agg(chosen.id ORDER BY asked.place)
    INTO picked
    FROM unnest(demand_products, demand_amounts, demand_expiries) WITH ORDINALITY
      AS asked (product_id, amount, expiry, place)
    LEFT JOIN LATERAL (
         SELECT id FROM lots
          WHERE lots.product_id = asked.product_id AND state = 'APPROVED' AND on_hand - reserved >= asked.amount
            AND (lots.expiry IS NULL OR lots.expiry >= asked.expiry)
          ORDER BY lots.expiry NULLS LAST, received_at, lot_number COLLATE "C"
          LIMIT 1) AS chosen ON true;
  IF array_position(picked, NULL) IS NOT NULL THEN
    RETURN 'stock';
  END IF;
  WITH taken AS (
    UPDATE lots SET reserved = lots.reserved + pick.quantity
      FROM (SELECT lot_id, sum(quantity)::int AS quantity
              FROM unnest(picked, demand_amounts) AS each (lot_id, quantity) GROUP BY lot_id) AS pick
     WHERE lots.id = pick.lot_id
  ), reserved AS (
    INSERT INTO reservations (order_id, product_id, lot_id, quantity)
    SELECT * FROM unnest(demand_orders, demand_products, picked, demand_amounts)
  ), made AS (
    INSERT INTO orders (id, partner_id, days_supply, shipping_method, protocol_id, customer_source_id, customer,
                        document, warnings, content_key, release_at, created_at, updated_at)
    SELECT id, partner_id, days_supply, shipping_method, protocol_id, customer_source_id, customer,
           document, warnings, content_key, release_at, at, at
      FROM unnest(order_ids, order_partners, days_supplies, shipping_methods, protocol_ids, customer_source_ids,
                  customers, documents, order_warnings, content_keys, release_moments, moments)
        AS new (id, partner_id, days_supply, shipping_method, protocol_id, customer_source_id, customer,
                document, warnings, content_key, release_at, at)
  ), told AS (
    INSERT INTO events (id, partner_id, order_id, order_sequence, type, payload, created_at)
    SELECT id, partner_id, order_id, 1, 'order.created', payload, at
      FROM unnest(event_ids, order_partners, order_ids, payloads, moments)
        AS new (id, partner_id, order_id, payload, at)
  ), due AS (
    INSERT INTO webhook_deliveries (id, event_id, partner_id, order_id, order_sequence, due_at, on_clock, created_at)
    SELECT id, event_id, partner_id, order_id, 1, at, on_clock, at
      FROM unnest(delivery_ids, event_ids, order_partners, order_ids, on_clocks, moments)
        AS new (id, event_id, partner_id, order_id, on_clock, at)
     WHERE id IS NOT NULL
  )
  INSERT INTO idempotency_keys (partner_id, operation, key, fingerprint, status, body, order_id, created_at)
  SELECT partner_id, operation, key, fingerprint, 201, body, order_id, at
    FROM unnest(order_partners, key_operations, keys, fingerprints, bodies, order_ids, moments)
      AS new (partner_id, operation, key, fingerprint, body, order_id, at)
   WHERE key IS NOT NULL
   ORDER BY partner_id, operation, key;
  RETURN 'accepted';
END
$$;

-- migrate:down
