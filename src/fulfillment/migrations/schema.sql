

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: pg_trgm; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;


--
-- Name: EXTENSION pg_trgm; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON EXTENSION pg_trgm IS 'text similarity measurement and index searching based on trigrams';


--
-- Name: accept_batch(text, bigint, bigint, bigint, timestamp with time zone, text[], bigint[], integer[], date[], text[], text[], smallint[], text[], text[], text[], json[], json[], json[], bigint[], timestamp with time zone[], timestamp with time zone[], text[], json[], text[], boolean[], text[], text[], bytea[], bytea[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.accept_batch(tenants text, seen_catalog bigint, seen_partners bigint, seen_shipping bigint, lookalikes_since timestamp with time zone, demand_orders text[], demand_products bigint[], demand_amounts integer[], demand_expiries date[], order_ids text[], order_partners text[], days_supplies smallint[], shipping_methods text[], protocol_ids text[], customer_source_ids text[], customers json[], documents json[], order_warnings json[], content_keys bigint[], release_moments timestamp with time zone[], moments timestamp with time zone[], event_ids text[], payloads json[], delivery_ids text[], on_clocks boolean[], key_operations text[], keys text[], fingerprints bytea[], bodies bytea[]) RETURNS text
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    SET jit TO 'off'
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


--
-- Name: accept_orders(text, bigint, bigint, bigint, timestamp with time zone, text[], bigint[], integer[], date[], text[], text[], smallint[], text[], text[], text[], json[], json[], json[], bigint[], timestamp with time zone[], timestamp with time zone[], text[], json[], text[], boolean[], text[], text[], bytea[], bytea[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.accept_orders(tenants text, seen_catalog bigint, seen_partners bigint, seen_shipping bigint, lookalikes_since timestamp with time zone, demand_orders text[], demand_products bigint[], demand_amounts integer[], demand_expiries date[], order_ids text[], order_partners text[], days_supplies smallint[], shipping_methods text[], protocol_ids text[], customer_source_ids text[], customers json[], documents json[], order_warnings json[], content_keys bigint[], release_moments timestamp with time zone[], moments timestamp with time zone[], event_ids text[], payloads json[], delivery_ids text[], on_clocks boolean[], key_operations text[], keys text[], fingerprints bytea[], bodies bytea[]) RETURNS text
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
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


--
-- Name: bump_cache_version(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bump_cache_version() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public'
    AS $$
BEGIN
  UPDATE cache_versions SET version = version + 1 WHERE name = TG_ARGV[0];
  PERFORM pg_notify('fulfillment_changes', TG_ARGV[0]);
  RETURN NULL;
END
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.events (
    id text NOT NULL COLLATE pg_catalog."C",
    era smallint DEFAULT 1 NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    partner_id text NOT NULL COLLATE pg_catalog."C",
    order_id text COLLATE pg_catalog."C",
    order_sequence integer,
    type text NOT NULL COLLATE pg_catalog."C",
    payload json NOT NULL,
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.events FORCE ROW LEVEL SECURITY;


--
-- Name: current_event_era(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.current_event_era() RETURNS smallint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT ((regexp_match(pg_get_expr(defaults.adbin, defaults.adrelid), '\d+'::text))[1])::smallint AS regexp_match FROM (pg_attrdef defaults JOIN pg_attribute attribute ON (((attribute.attrelid = defaults.adrelid) AND (attribute.attnum = defaults.adnum)))) WHERE ((defaults.adrelid = ('public.events'::regclass)::oid) AND (attribute.attname = 'era'::name)));


--
-- Name: read_newest_orders(text[], text[], integer[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.read_newest_orders(partners text[], befores text[], limits integer[]) RETURNS TABLE(place bigint, partner_id text, id text, status text, sequence integer, days_supply smallint, shipping_method text, customer text, document text, warnings text, holds text, fulfillment text, shipments text, release_at timestamp with time zone, created_at timestamp with time zone, updated_at timestamp with time zone, protocol_id text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: read_order_pages(text[], text[], integer[], text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.read_order_pages(partners text[], befores text[], limits integer[], known text[]) RETURNS TABLE(place bigint, mark text, partner_id text, id text, status text, sequence integer, days_supply smallint, shipping_method text, customer text, document text, warnings text, holds text, fulfillment text, shipments text, release_at timestamp with time zone, created_at timestamp with time zone, updated_at timestamp with time zone, protocol_id text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: read_orders(text[], text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.read_orders(partners text[], ids text[]) RETURNS TABLE(partner_id text, id text, status text, sequence integer, days_supply smallint, shipping_method text, customer text, document text, warnings text, holds text, fulfillment text, shipments text, release_at timestamp with time zone, created_at timestamp with time zone, updated_at timestamp with time zone, protocol_id text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: refuse_change(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;


--
-- Name: visible_to_tenant(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.visible_to_tenant(partner text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((current_setting('fulfillment.tenant'::text, true) = '*'::text) OR (partner = ANY (string_to_array(current_setting('fulfillment.tenant'::text, true), ','::text))));


--
-- Name: audit_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit_log (
    id text NOT NULL COLLATE pg_catalog."C",
    actor text NOT NULL,
    action text NOT NULL,
    object_type text NOT NULL,
    object_id text NOT NULL,
    before jsonb,
    after jsonb,
    request_id text,
    created_at timestamp with time zone NOT NULL
);


--
-- Name: batch_orders; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.batch_orders (
    order_id text NOT NULL COLLATE pg_catalog."C",
    batch_id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C"
);

ALTER TABLE ONLY public.batch_orders FORCE ROW LEVEL SECURITY;


--
-- Name: batches; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.batches (
    id text NOT NULL COLLATE pg_catalog."C",
    actor text NOT NULL,
    created_at timestamp with time zone NOT NULL
);


--
-- Name: cache_versions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.cache_versions (
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint DEFAULT 1 NOT NULL
);


--
-- Name: holds; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.holds (
    id text NOT NULL COLLATE pg_catalog."C",
    order_id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    code text NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    actor text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    released_at timestamp with time zone,
    released_by text,
    CONSTRAINT holds_code_check CHECK ((code = ANY (ARRAY['ADDRESS'::text, 'STOCK_SHORT'::text, 'LOT_RECALLED'::text, 'PARTNER_REQUEST'::text, 'DUPLICATE_SUSPECTED'::text, 'OPERATOR'::text])))
);

ALTER TABLE ONLY public.holds FORCE ROW LEVEL SECURITY;


--
-- Name: idempotency_keys; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.idempotency_keys (
    partner_id text NOT NULL COLLATE pg_catalog."C",
    operation text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    order_id text COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.idempotency_keys FORCE ROW LEVEL SECURITY;


--
-- Name: inventory_movements; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.inventory_movements (
    id text NOT NULL COLLATE pg_catalog."C",
    lot_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    quantity integer NOT NULL,
    order_id text COLLATE pg_catalog."C",
    reason text,
    actor text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT inventory_movements_kind_check CHECK ((kind = ANY (ARRAY['RECEIVED'::text, 'ADJUSTED'::text, 'CONSUMED'::text, 'SCRAPPED'::text]))),
    CONSTRAINT inventory_movements_quantity_check CHECK ((quantity <> 0))
);


--
-- Name: lots; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.lots (
    id text NOT NULL COLLATE pg_catalog."C",
    product_id bigint NOT NULL,
    lot_number text NOT NULL,
    expiry date,
    supplier text,
    location text,
    state text NOT NULL,
    received integer NOT NULL,
    on_hand integer NOT NULL,
    reserved integer DEFAULT 0 NOT NULL,
    received_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT lots_lot_number_check CHECK ((lot_number <> ''::text)),
    CONSTRAINT lots_never_oversold CHECK (((reserved >= 0) AND (reserved <= on_hand))),
    CONSTRAINT lots_on_hand_check CHECK ((on_hand >= 0)),
    CONSTRAINT lots_received_check CHECK ((received > 0)),
    CONSTRAINT lots_state_check CHECK ((state = ANY (ARRAY['APPROVED'::text, 'QUARANTINED'::text, 'ON_HOLD'::text, 'RECALLED'::text, 'EXPIRED'::text, 'DEPLETED'::text])))
)
WITH (fillfactor='50');


--
-- Name: oauth_clients; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.oauth_clients (
    client_id text NOT NULL COLLATE pg_catalog."C",
    partner_id text COLLATE pg_catalog."C",
    scope text NOT NULL,
    label text DEFAULT ''::text NOT NULL,
    secret_hash text NOT NULL,
    previous_secret_hash text,
    previous_secret_until timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT oauth_clients_check CHECK (((scope = 'partner'::text) = (partner_id IS NOT NULL))),
    CONSTRAINT oauth_clients_scope_check CHECK ((scope = ANY (ARRAY['partner'::text, 'operator'::text])))
);

ALTER TABLE ONLY public.oauth_clients FORCE ROW LEVEL SECURITY;


--
-- Name: orders; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.orders (
    id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'CREATED'::text NOT NULL COLLATE pg_catalog."C",
    sequence integer DEFAULT 1 NOT NULL,
    days_supply smallint NOT NULL,
    shipping_method text NOT NULL COLLATE pg_catalog."C",
    protocol_id text COLLATE pg_catalog."C",
    customer_source_id text,
    customer json NOT NULL,
    document json NOT NULL,
    warnings json,
    holds json,
    fulfillment json,
    shipments json,
    content_key bigint,
    release_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT orders_status_check CHECK ((status = ANY (ARRAY['CREATED'::text, 'CANCELLED'::text, 'PROCESSING'::text, 'FULFILLED'::text, 'AWAITING_SHIPMENT'::text, 'SHIPPED'::text])))
)
WITH (fillfactor='90');

ALTER TABLE ONLY public.orders FORCE ROW LEVEL SECURITY;


--
-- Name: pack_confirmations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pack_confirmations (
    order_id text NOT NULL COLLATE pg_catalog."C",
    pack_id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    actor text NOT NULL,
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.pack_confirmations FORCE ROW LEVEL SECURITY;


--
-- Name: partners; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.partners (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    description text,
    discount numeric(5,4) DEFAULT 0 NOT NULL,
    volume_discounts jsonb DEFAULT '{"60": "0.05", "90": "0.10"}'::jsonb NOT NULL,
    primary_color text,
    secondary_color text,
    logo text,
    phone text,
    support_email text,
    website text,
    billing_address_line1 text,
    billing_address_line2 text,
    billing_city text,
    billing_state text,
    billing_postal_code text,
    billing_country text,
    webhook_url text,
    webhook_secret text,
    clock_frozen_at timestamp with time zone,
    auto_advance_seconds integer,
    webhook_faults jsonb,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT partners_auto_advance_seconds_check CHECK ((auto_advance_seconds > 0)),
    CONSTRAINT partners_discount_check CHECK (((discount >= (0)::numeric) AND (discount <= (1)::numeric))),
    CONSTRAINT partners_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
);

ALTER TABLE ONLY public.partners FORCE ROW LEVEL SECURITY;


--
-- Name: product_vocabulary; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product_vocabulary (
    word text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: product_words; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product_words (
    word text NOT NULL COLLATE pg_catalog."C",
    product_id bigint NOT NULL,
    cost smallint NOT NULL
);


--
-- Name: products; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.products (
    id bigint NOT NULL,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    pack_description text,
    list_price numeric(12,4) NOT NULL,
    external boolean NOT NULL,
    product_image text,
    recommended_usage jsonb,
    form text,
    certifications text[] DEFAULT '{}'::text[] NOT NULL,
    allergens text[] DEFAULT '{}'::text[] NOT NULL,
    contains_allergens text[] DEFAULT '{}'::text[] NOT NULL,
    stimulant boolean DEFAULT false NOT NULL,
    supplement_facts jsonb,
    status text NOT NULL,
    search_terms text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    pills_per_day_limit integer,
    CONSTRAINT products_form_check CHECK ((form = ANY (ARRAY['tablet'::text, 'capsule'::text, 'softgel'::text, 'gummy'::text]))),
    CONSTRAINT products_id_check CHECK ((id > 0)),
    CONSTRAINT products_list_price_check CHECK ((list_price >= (0)::numeric)),
    CONSTRAINT products_name_check CHECK ((name <> ''::text)),
    CONSTRAINT products_pills_per_day_limit_check CHECK ((pills_per_day_limit > 0)),
    CONSTRAINT products_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'DRAFT'::text, 'BACKORDERED'::text, 'DISCONTINUED'::text])))
);


--
-- Name: protocols; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.protocols (
    id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    customer jsonb NOT NULL,
    customer_name text NOT NULL,
    days_supply smallint NOT NULL,
    order_type text,
    shipping_method text NOT NULL,
    line_items jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.protocols FORCE ROW LEVEL SECURITY;


--
-- Name: rate_limits; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.rate_limits (
    key text NOT NULL COLLATE pg_catalog."C",
    full_at double precision NOT NULL,
    granted integer NOT NULL
)
WITH (fillfactor='50');


--
-- Name: request_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.request_log (
    partner_id text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    client_id text NOT NULL COLLATE pg_catalog."C",
    method text NOT NULL,
    route text NOT NULL,
    status smallint NOT NULL,
    code text,
    duration_us integer NOT NULL,
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.request_log FORCE ROW LEVEL SECURITY;


--
-- Name: reservations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.reservations (
    order_id text NOT NULL COLLATE pg_catalog."C",
    product_id bigint NOT NULL,
    lot_id text NOT NULL COLLATE pg_catalog."C",
    quantity integer NOT NULL,
    state text DEFAULT 'OPEN'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT reservations_quantity_check CHECK ((quantity > 0)),
    CONSTRAINT reservations_state_check CHECK ((state = ANY (ARRAY['OPEN'::text, 'CONSUMED'::text, 'RELEASED'::text, 'REPLACED'::text])))
)
WITH (fillfactor='85');


--
-- Name: sandbox_plans; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sandbox_plans (
    order_id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    scenario text NOT NULL,
    dice text NOT NULL,
    step integer DEFAULT 0 NOT NULL,
    next_at timestamp with time zone,
    lot_id text COLLATE pg_catalog."C"
);

ALTER TABLE ONLY public.sandbox_plans FORCE ROW LEVEL SECURITY;


--
-- Name: sandbox_states; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sandbox_states (
    partner_id text NOT NULL COLLATE pg_catalog."C",
    seed text NOT NULL,
    planned integer DEFAULT 0 NOT NULL,
    planned_after text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    moving_until timestamp with time zone
);

ALTER TABLE ONLY public.sandbox_states FORCE ROW LEVEL SECURITY;


--
-- Name: schema_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);


--
-- Name: shipments; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.shipments (
    id text NOT NULL COLLATE pg_catalog."C",
    order_id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    carrier text NOT NULL,
    service text,
    tracking_number text NOT NULL COLLATE pg_catalog."C",
    tracking_url text,
    check_digit text NOT NULL,
    simulated boolean NOT NULL,
    tracking_status text NOT NULL,
    checkpoints json DEFAULT '[]'::json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    shipped_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT shipments_check_digit_check CHECK ((check_digit = ANY (ARRAY['valid'::text, 'unknown'::text]))),
    CONSTRAINT shipments_tracking_status_check CHECK ((tracking_status = ANY (ARRAY['Pending'::text, 'InfoReceived'::text, 'InTransit'::text, 'OutForDelivery'::text, 'AttemptFail'::text, 'AvailableForPickup'::text, 'Delivered'::text, 'Exception'::text, 'Expired'::text])))
)
WITH (fillfactor='80');

ALTER TABLE ONLY public.shipments FORCE ROW LEVEL SECURITY;


--
-- Name: shipping_methods; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.shipping_methods (
    name text NOT NULL COLLATE pg_catalog."C",
    description text NOT NULL,
    price numeric(12,4) NOT NULL,
    "position" smallint NOT NULL,
    CONSTRAINT shipping_methods_name_check CHECK ((name = ANY (ARRAY['STANDARD'::text, 'EXPRESS'::text, 'OVERNIGHT'::text]))),
    CONSTRAINT shipping_methods_price_check CHECK ((price >= (0)::numeric))
);


--
-- Name: token_failures; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.token_failures (
    key text NOT NULL COLLATE pg_catalog."C",
    since double precision NOT NULL,
    failures integer NOT NULL
)
WITH (fillfactor='50');


--
-- Name: token_trust; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.token_trust (
    key text NOT NULL COLLATE pg_catalog."C",
    since double precision NOT NULL
)
WITH (fillfactor='50');


--
-- Name: tracking_messages; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tracking_messages (
    key text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);


--
-- Name: webhook_attempts; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.webhook_attempts (
    delivery_id text NOT NULL COLLATE pg_catalog."C",
    attempt integer NOT NULL,
    partner_id text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    duration_ms integer NOT NULL,
    status_code integer,
    error text,
    excerpt bytea
);

ALTER TABLE ONLY public.webhook_attempts FORCE ROW LEVEL SECURITY;


--
-- Name: webhook_deliveries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.webhook_deliveries (
    id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    order_id text COLLATE pg_catalog."C",
    order_sequence integer,
    status text DEFAULT 'PENDING'::text NOT NULL COLLATE pg_catalog."C",
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone NOT NULL,
    leased_until timestamp with time zone,
    on_clock boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    replay_id text COLLATE pg_catalog."C",
    CONSTRAINT webhook_deliveries_status_check CHECK ((status = ANY (ARRAY['PENDING'::text, 'DELIVERED'::text, 'FAILED'::text, 'DISCARDED'::text])))
)
WITH (fillfactor='70');

ALTER TABLE ONLY public.webhook_deliveries FORCE ROW LEVEL SECURITY;


--
-- Name: webhook_endpoints; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.webhook_endpoints (
    partner_id text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'ENABLED'::text NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    disabled_at timestamp with time zone,
    disabled_reason text,
    probe_at timestamp with time zone,
    CONSTRAINT webhook_endpoints_status_check CHECK ((status = ANY (ARRAY['ENABLED'::text, 'DISABLED'::text])))
);

ALTER TABLE ONLY public.webhook_endpoints FORCE ROW LEVEL SECURITY;


--
-- Name: webhook_replays; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.webhook_replays (
    id text NOT NULL COLLATE pg_catalog."C",
    partner_id text NOT NULL COLLATE pg_catalog."C",
    since timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    types text[],
    only_failed boolean NOT NULL,
    total integer NOT NULL,
    queued integer DEFAULT 0 NOT NULL,
    after_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    queued_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.webhook_replays FORCE ROW LEVEL SECURITY;


--
-- Name: audit_log audit_log_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);


--
-- Name: batch_orders batch_orders_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.batch_orders
    ADD CONSTRAINT batch_orders_pkey PRIMARY KEY (order_id);


--
-- Name: batches batches_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (id);


--
-- Name: cache_versions cache_versions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.cache_versions
    ADD CONSTRAINT cache_versions_pkey PRIMARY KEY (name);


--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (partner_id, id);


--
-- Name: holds holds_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (id);


--
-- Name: idempotency_keys idempotency_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (partner_id, operation, key);


--
-- Name: inventory_movements inventory_movements_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.inventory_movements
    ADD CONSTRAINT inventory_movements_pkey PRIMARY KEY (id);


--
-- Name: lots lots_number_unique; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lots
    ADD CONSTRAINT lots_number_unique UNIQUE (product_id, lot_number);


--
-- Name: lots lots_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lots
    ADD CONSTRAINT lots_pkey PRIMARY KEY (id);


--
-- Name: oauth_clients oauth_clients_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_clients
    ADD CONSTRAINT oauth_clients_pkey PRIMARY KEY (client_id);


--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);


--
-- Name: pack_confirmations pack_confirmations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pack_confirmations
    ADD CONSTRAINT pack_confirmations_pkey PRIMARY KEY (order_id, pack_id);


--
-- Name: partners partners_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.partners
    ADD CONSTRAINT partners_pkey PRIMARY KEY (id);


--
-- Name: product_vocabulary product_vocabulary_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_vocabulary
    ADD CONSTRAINT product_vocabulary_pkey PRIMARY KEY (word);


--
-- Name: product_words product_words_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_words
    ADD CONSTRAINT product_words_pkey PRIMARY KEY (word, product_id) INCLUDE (cost);


--
-- Name: products products_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (id);


--
-- Name: protocols protocols_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.protocols
    ADD CONSTRAINT protocols_pkey PRIMARY KEY (id);


--
-- Name: rate_limits rate_limits_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rate_limits
    ADD CONSTRAINT rate_limits_pkey PRIMARY KEY (key);


--
-- Name: request_log request_log_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.request_log
    ADD CONSTRAINT request_log_pkey PRIMARY KEY (partner_id, id);


--
-- Name: reservations reservations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.reservations
    ADD CONSTRAINT reservations_pkey PRIMARY KEY (order_id, product_id, lot_id);


--
-- Name: sandbox_plans sandbox_plans_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sandbox_plans
    ADD CONSTRAINT sandbox_plans_pkey PRIMARY KEY (order_id);


--
-- Name: sandbox_states sandbox_states_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sandbox_states
    ADD CONSTRAINT sandbox_states_pkey PRIMARY KEY (partner_id);


--
-- Name: schema_migrations schema_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);


--
-- Name: shipments shipments_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_pkey PRIMARY KEY (id);


--
-- Name: shipping_methods shipping_methods_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.shipping_methods
    ADD CONSTRAINT shipping_methods_pkey PRIMARY KEY (name);


--
-- Name: token_failures token_failures_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.token_failures
    ADD CONSTRAINT token_failures_pkey PRIMARY KEY (key);


--
-- Name: token_trust token_trust_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.token_trust
    ADD CONSTRAINT token_trust_pkey PRIMARY KEY (key);


--
-- Name: tracking_messages tracking_messages_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tracking_messages
    ADD CONSTRAINT tracking_messages_pkey PRIMARY KEY (key);


--
-- Name: webhook_attempts webhook_attempts_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_attempts
    ADD CONSTRAINT webhook_attempts_pkey PRIMARY KEY (delivery_id, attempt);


--
-- Name: webhook_deliveries webhook_deliveries_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (partner_id, id);


--
-- Name: webhook_endpoints webhook_endpoints_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (partner_id);


--
-- Name: webhook_replays webhook_replays_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_replays
    ADD CONSTRAINT webhook_replays_pkey PRIMARY KEY (partner_id, id);


--
-- Name: audit_log_object; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_log_object ON public.audit_log USING btree (object_type, object_id, id);


--
-- Name: batch_orders_batch; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX batch_orders_batch ON public.batch_orders USING btree (batch_id, order_id);


--
-- Name: events_feed; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_feed ON public.events USING btree (partner_id, era, txid, id);


--
-- Name: events_order; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX events_order ON public.events USING btree (order_id, order_sequence) WHERE (order_id IS NOT NULL);


--
-- Name: holds_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX holds_order ON public.holds USING btree (order_id);


--
-- Name: idempotency_keys_created; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING brin (created_at);


--
-- Name: inventory_movements_lot; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX inventory_movements_lot ON public.inventory_movements USING btree (lot_id, id);


--
-- Name: lots_expiring; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX lots_expiring ON public.lots USING btree (expiry) WHERE (state = ANY (ARRAY['APPROVED'::text, 'QUARANTINED'::text, 'ON_HOLD'::text]));


--
-- Name: oauth_clients_partner; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oauth_clients_partner ON public.oauth_clients USING btree (partner_id);


--
-- Name: orders_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_due ON public.orders USING btree (release_at) WHERE ((status = 'CREATED'::text) AND (release_at IS NOT NULL));


--
-- Name: orders_in_work; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_in_work ON public.orders USING btree (status, id) WHERE (status = ANY (ARRAY['PROCESSING'::text, 'FULFILLED'::text, 'AWAITING_SHIPMENT'::text]));


--
-- Name: orders_lookalikes; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_lookalikes ON public.orders USING btree (content_key, created_at DESC);


--
-- Name: orders_partner; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_partner ON public.orders USING btree (partner_id, id);


--
-- Name: orders_partner_status; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_partner_status ON public.orders USING btree (partner_id, status, id);


--
-- Name: product_vocabulary_trigrams; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX product_vocabulary_trigrams ON public.product_vocabulary USING gist (word public.gist_trgm_ops);


--
-- Name: product_words_product; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX product_words_product ON public.product_words USING btree (product_id);


--
-- Name: products_updated; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX products_updated ON public.products USING btree (updated_at);


--
-- Name: protocols_name; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX protocols_name ON public.protocols USING gin (customer_name public.gin_trgm_ops);


--
-- Name: protocols_partner; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX protocols_partner ON public.protocols USING btree (partner_id, id);


--
-- Name: request_log_created; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX request_log_created ON public.request_log USING brin (created_at);


--
-- Name: reservations_lot; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX reservations_lot ON public.reservations USING btree (lot_id);


--
-- Name: sandbox_plans_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sandbox_plans_due ON public.sandbox_plans USING btree (partner_id, next_at) WHERE (next_at IS NOT NULL);


--
-- Name: shipments_number; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX shipments_number ON public.shipments USING btree (tracking_number, id);


--
-- Name: shipments_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX shipments_order ON public.shipments USING btree (order_id, id);


--
-- Name: token_failures_since; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX token_failures_since ON public.token_failures USING btree (since);


--
-- Name: token_trust_since; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX token_trust_since ON public.token_trust USING btree (since);


--
-- Name: tracking_messages_received; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tracking_messages_received ON public.tracking_messages USING brin (received_at);


--
-- Name: webhook_deliveries_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX webhook_deliveries_due ON public.webhook_deliveries USING btree (partner_id, due_at) WHERE (status = 'PENDING'::text);


--
-- Name: webhook_deliveries_event; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX webhook_deliveries_event ON public.webhook_deliveries USING btree (event_id) WHERE (order_id IS NULL);


--
-- Name: webhook_deliveries_failed; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX webhook_deliveries_failed ON public.webhook_deliveries USING btree (partner_id, id) WHERE (status = 'FAILED'::text);


--
-- Name: webhook_deliveries_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX webhook_deliveries_order ON public.webhook_deliveries USING btree (order_id, order_sequence) WHERE (order_id IS NOT NULL);


--
-- Name: webhook_deliveries_replay; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX webhook_deliveries_replay ON public.webhook_deliveries USING btree (replay_id) WHERE (replay_id IS NOT NULL);


--
-- Name: webhook_replays_open; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX webhook_replays_open ON public.webhook_replays USING btree (partner_id) WHERE (queued_at IS NULL);


--
-- Name: audit_log audit_log_append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();


--
-- Name: oauth_clients oauth_clients_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER oauth_clients_changed AFTER INSERT OR DELETE OR UPDATE ON public.oauth_clients FOR EACH STATEMENT EXECUTE FUNCTION public.bump_cache_version('clients');


--
-- Name: partners partners_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER partners_changed AFTER INSERT OR DELETE OR UPDATE ON public.partners FOR EACH STATEMENT EXECUTE FUNCTION public.bump_cache_version('partners');


--
-- Name: partners partners_clocks_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER partners_clocks_changed AFTER UPDATE OF clock_frozen_at ON public.partners FOR EACH STATEMENT EXECUTE FUNCTION public.bump_cache_version('clocks');


--
-- Name: products products_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER products_changed AFTER INSERT OR DELETE OR UPDATE ON public.products FOR EACH STATEMENT EXECUTE FUNCTION public.bump_cache_version('catalog');


--
-- Name: shipping_methods shipping_methods_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER shipping_methods_changed AFTER INSERT OR DELETE OR UPDATE ON public.shipping_methods FOR EACH STATEMENT EXECUTE FUNCTION public.bump_cache_version('shipping');


--
-- Name: batch_orders batch_orders_batch_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.batch_orders
    ADD CONSTRAINT batch_orders_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES public.batches(id);


--
-- Name: batch_orders batch_orders_order_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.batch_orders
    ADD CONSTRAINT batch_orders_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id);


--
-- Name: holds holds_order_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id);


--
-- Name: inventory_movements inventory_movements_lot_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.inventory_movements
    ADD CONSTRAINT inventory_movements_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id);


--
-- Name: lots lots_product_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lots
    ADD CONSTRAINT lots_product_id_fkey FOREIGN KEY (product_id) REFERENCES public.products(id);


--
-- Name: oauth_clients oauth_clients_partner_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oauth_clients
    ADD CONSTRAINT oauth_clients_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.partners(id);


--
-- Name: pack_confirmations pack_confirmations_order_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pack_confirmations
    ADD CONSTRAINT pack_confirmations_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id);


--
-- Name: product_words product_words_product_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_words
    ADD CONSTRAINT product_words_product_id_fkey FOREIGN KEY (product_id) REFERENCES public.products(id) ON DELETE CASCADE;


--
-- Name: protocols protocols_partner_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.protocols
    ADD CONSTRAINT protocols_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.partners(id);


--
-- Name: sandbox_plans sandbox_plans_order_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sandbox_plans
    ADD CONSTRAINT sandbox_plans_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id);


--
-- Name: sandbox_states sandbox_states_partner_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sandbox_states
    ADD CONSTRAINT sandbox_states_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.partners(id);


--
-- Name: shipments shipments_order_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id);


--
-- Name: webhook_endpoints webhook_endpoints_partner_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.partners(id);


--
-- Name: webhook_replays webhook_replays_partner_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.webhook_replays
    ADD CONSTRAINT webhook_replays_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.partners(id);


--
-- Name: batch_orders; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.batch_orders ENABLE ROW LEVEL SECURITY;

--
-- Name: events; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;

--
-- Name: holds; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.holds ENABLE ROW LEVEL SECURITY;

--
-- Name: idempotency_keys; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.idempotency_keys ENABLE ROW LEVEL SECURITY;

--
-- Name: oauth_clients; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.oauth_clients ENABLE ROW LEVEL SECURITY;

--
-- Name: orders; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;

--
-- Name: pack_confirmations; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.pack_confirmations ENABLE ROW LEVEL SECURITY;

--
-- Name: partners; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.partners ENABLE ROW LEVEL SECURITY;

--
-- Name: protocols; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.protocols ENABLE ROW LEVEL SECURITY;

--
-- Name: request_log; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.request_log ENABLE ROW LEVEL SECURITY;

--
-- Name: sandbox_plans; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.sandbox_plans ENABLE ROW LEVEL SECURITY;

--
-- Name: sandbox_states; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.sandbox_states ENABLE ROW LEVEL SECURITY;

--
-- Name: shipments; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.shipments ENABLE ROW LEVEL SECURITY;

--
-- Name: batch_orders tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.batch_orders USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: events tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.events USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: holds tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.holds USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: idempotency_keys tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.idempotency_keys USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: oauth_clients tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.oauth_clients USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: orders tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.orders USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: pack_confirmations tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.pack_confirmations USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: partners tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.partners USING (public.visible_to_tenant(id)) WITH CHECK (public.visible_to_tenant(id));


--
-- Name: protocols tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.protocols USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: request_log tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.request_log USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: sandbox_plans tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.sandbox_plans USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: sandbox_states tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.sandbox_states USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: shipments tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.shipments USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: webhook_attempts tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.webhook_attempts USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: webhook_deliveries tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.webhook_deliveries USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: webhook_endpoints tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.webhook_endpoints USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: webhook_replays tenant; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY tenant ON public.webhook_replays USING (public.visible_to_tenant(partner_id)) WITH CHECK (public.visible_to_tenant(partner_id));


--
-- Name: webhook_attempts; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.webhook_attempts ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_deliveries; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.webhook_deliveries ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_endpoints; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.webhook_endpoints ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_replays; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.webhook_replays ENABLE ROW LEVEL SECURITY;

--
-- PostgreSQL database dump complete
--



--
-- Dbmate schema migrations
--

INSERT INTO public.schema_migrations (version) VALUES
    ('20261123000001'),
    ('20261123000002'),
    ('20261123000003'),
    ('20261123000004'),
    ('20261123000005'),
    ('20261123000006'),
    ('20261123000007'),
    ('20261123000008'),
    ('20261123000009'),
    ('20261123000010'),
    ('20261123000011'),
    ('20261123000012');
