-- migrate:up
SET lock_timeout = '5s';

-- As read_newest_orders, for callers who may have the page already (docs/decisions/0017): a page's mark is the ids of
-- its orders and who wrote each last. Where the mark is the known one, one row comes back, without an order.
CREATE FUNCTION read_order_pages(partners text[], befores text[], limits int[], known text[])
RETURNS TABLE (
  place bigint, mark text, partner_id text, id text, status text, sequence int, days_supply smallint,
  shipping_method text, customer text, document text, warnings text, holds text, fulfillment text, shipments text,
  release_at timestamptz, created_at timestamptz, updated_at timestamptz, protocol_id text)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
BEGIN
  PERFORM set_config('fulfillment.tenant', array_to_string(partners, ','), true);
  RETURN QUERY
    SELECT asked.place, seen.mark, o.partner_id, o.id, o.status, o.sequence, o.days_supply, o.shipping_method,
           o.customer::text, o.document::text, o.warnings::text, o.holds::text, o.fulfillment::text, o.shipments::text,
           o.release_at, o.created_at, o.updated_at, o.protocol_id
      FROM unnest(partners, befores, limits, known) WITH ORDINALITY AS asked (partner_id, before, most, known, place)
     CROSS JOIN LATERAL (
           SELECT coalesce(string_agg(page.id || page.writer, ',' ORDER BY page.id DESC), '') AS mark
             FROM (SELECT one.id, one.xmin AS writer FROM orders AS one
                    WHERE one.partner_id = asked.partner_id AND one.id < asked.before
                    ORDER BY one.id DESC LIMIT asked.most) AS page) AS seen
      LEFT JOIN LATERAL (
           SELECT * FROM orders AS one
            WHERE seen.mark IS DISTINCT FROM asked.known
              AND one.partner_id = asked.partner_id AND one.id < asked.before
            ORDER BY one.id DESC LIMIT asked.most) AS o ON true
     ORDER BY asked.place, o.id DESC;
END
$$;

-- migrate:down
DROP FUNCTION read_order_pages(text[], text[], int[], text[]);
