-- migrate:up
SET lock_timeout = '5s';

-- What accept_orders does, with the lots locked last: they stay locked while the disk syncs, and while one batch does,
-- the next one can get as far as its lots (docs/decisions/0019). So lots are picked over rows that nobody has locked,
-- everything is written, and only then are the lots taken, each if it is still what it was picked for. What the orders
-- rest on is looked at after the wait for the locks. Where anything is in the way, nothing has been done: it says what,
-- or, where something was written already, raises it. The processes of the last release call accept_orders, which
-- stays until a later one.
--
-- As there, it runs with the caller's rights, and its plans are made once for each session (docs/decisions/0016).
CREATE FUNCTION accept_batch(
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
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
AS $$
DECLARE
  content bigint;
  picked text[];
  wanted int;
  taken int;
  used boolean;
  hindrance text;
BEGIN
  PERFORM set_config('fulfillment.tenant', tenants, true);
  -- Two processes that make the same content at once may pick different lots, and would not meet at any row.
  FOREACH content IN ARRAY content_keys LOOP
    IF NOT pg_try_advisory_xact_lock(content) THEN
      RETURN 'content';
    END IF;
  END LOOP;
  -- The first lot in the order of taking that lasts long enough and covers the demand alone. That is what taking order
  -- by order picks too, as long as each lot covers all that is picked of it here, which is asked where it is taken.
  SELECT array_agg(chosen.id ORDER BY asked.place), count(DISTINCT chosen.id),
         EXISTS (SELECT FROM unnest(order_partners, key_operations, keys) AS sent (partner_id, operation, key)
                   JOIN idempotency_keys AS stored USING (partner_id, operation, key))
    INTO picked, wanted, used
    FROM unnest(demand_products, demand_amounts, demand_expiries) WITH ORDINALITY
      AS asked (product_id, amount, expiry, place)
    LEFT JOIN LATERAL (
         SELECT id FROM lots
          WHERE lots.product_id = asked.product_id AND state = 'APPROVED' AND on_hand - reserved >= asked.amount
            AND (lots.expiry IS NULL OR lots.expiry >= asked.expiry)
          ORDER BY lots.expiry NULLS LAST, received_at, lot_number COLLATE "C"
          LIMIT 1) AS chosen ON true;
  IF used THEN
    RETURN 'key';
  END IF;
  IF array_position(picked, NULL) IS NOT NULL THEN
    RETURN 'stock';
  END IF;
  WITH reserved AS (
    INSERT INTO reservations (order_id, product_id, lot_id, quantity)
    SELECT * FROM unnest(demand_orders, demand_products, picked, demand_amounts)
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
  INSERT INTO orders (id, partner_id, days_supply, shipping_method, protocol_id, customer_source_id, customer,
                      document, warnings, content_key, release_at, created_at, updated_at)
  SELECT id, partner_id, days_supply, shipping_method, protocol_id, customer_source_id, customer,
         document, warnings, content_key, release_at, at, at
    FROM unnest(order_ids, order_partners, days_supplies, shipping_methods, protocol_ids, customer_source_ids,
                customers, documents, order_warnings, content_keys, release_moments, moments)
      AS new (id, partner_id, days_supply, shipping_method, protocol_id, customer_source_id, customer,
              document, warnings, content_key, release_at, at);
  -- In the order of ids, as everywhere, so that no two wait for each other. No condition is on the lot alone: it would
  -- look like the best way to find the lots, of which it finds nearly all.
  UPDATE lots SET reserved = lots.reserved + pick.quantity
    FROM (SELECT lot_id COLLATE "C" AS lot_id, sum(quantity)::int AS quantity, max(expiry) AS expiry
            FROM unnest(picked, demand_amounts, demand_expiries) AS each (lot_id, quantity, expiry)
           GROUP BY 1 ORDER BY 1) AS pick
   WHERE lots.id = pick.lot_id AND on_hand - reserved >= CASE WHEN state = 'APPROVED' THEN pick.quantity END
     AND coalesce(lots.expiry, 'infinity') >= pick.expiry;
  GET DIAGNOSTICS taken = ROW_COUNT;
  IF taken <> wanted THEN
    RAISE 'taken';
  END IF;
  -- What was committed while the statement above waited is seen from here on.
  SELECT CASE
           WHEN (SELECT count(*) FROM cache_versions
                  WHERE (name, version)
                     IN (('catalog', seen_catalog), ('partners', seen_partners), ('shipping', seen_shipping))) <> 3
             THEN 'stale'
           WHEN EXISTS (
                  SELECT FROM unnest(content_keys) AS asked (content_key)
                    JOIN orders ON orders.content_key = asked.content_key
                   WHERE orders.status <> 'CANCELLED' AND orders.created_at > lookalikes_since
                     AND orders.id <> ALL (order_ids))
             THEN 'lookalike'
         END
    INTO hindrance;
  IF hindrance IS NOT NULL THEN
    RAISE '%', hindrance;
  END IF;
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
DROP FUNCTION accept_batch(
  text, bigint, bigint, bigint, timestamptz, text[], bigint[], int[], date[],
  text[], text[], smallint[], text[], text[], text[], json[], json[], json[], bigint[], timestamptz[], timestamptz[],
  text[], json[], text[], boolean[], text[], text[], bytea[], bytea[]);
