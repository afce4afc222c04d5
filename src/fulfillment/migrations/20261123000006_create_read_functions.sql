-- migrate:up
SET lock_timeout = '5s';

-- Reads of the hot path in one round trip: the tenant is set and the rows are read in one statement, which is its own
-- transaction. They run with the caller's rights, so row-level security holds in them as everywhere.

CREATE FUNCTION read_orders(partners text[], ids text[])
RETURNS TABLE (
  partner_id text, id text, status text, sequence int, days_supply smallint, shipping_method text, customer text,
  document text, warnings text, holds text, fulfillment text, shipments text, release_at timestamptz,
  created_at timestamptz, updated_at timestamptz, protocol_id text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('fulfillment.tenant', array_to_string(partners, ','), true);
  RETURN QUERY
    SELECT o.partner_id, o.id, o.status, o.sequence, o.days_supply, o.shipping_method, o.customer::text,
           o.document::text, o.warnings::text, o.holds::text, o.fulfillment::text, o.shipments::text, o.release_at,
           o.created_at, o.updated_at, o.protocol_id
      FROM unnest(partners, ids) AS asked (partner_id, id)
      JOIN orders AS o ON o.id = asked.id AND o.partner_id = asked.partner_id;
END
$$;

CREATE FUNCTION read_newest_orders(partners text[], befores text[], limits int[])
RETURNS TABLE (
  place bigint, partner_id text, id text, status text, sequence int, days_supply smallint, shipping_method text,
  customer text, document text, warnings text, holds text, fulfillment text, shipments text, release_at timestamptz,
  created_at timestamptz, updated_at timestamptz, protocol_id text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('fulfillment.tenant', array_to_string(partners, ','), true);
  RETURN QUERY
    SELECT asked.place, o.partner_id, o.id, o.status, o.sequence, o.days_supply, o.shipping_method, o.customer::text,
           o.document::text, o.warnings::text, o.holds::text, o.fulfillment::text, o.shipments::text, o.release_at,
           o.created_at, o.updated_at, o.protocol_id
      FROM unnest(partners, befores, limits) WITH ORDINALITY AS asked (partner_id, before, most, place)
     CROSS JOIN LATERAL (
           SELECT * FROM orders AS one
            WHERE one.partner_id = asked.partner_id AND one.id < asked.before
            ORDER BY one.id DESC LIMIT asked.most) AS o
     ORDER BY asked.place, o.id DESC;
END
$$;

-- migrate:down
