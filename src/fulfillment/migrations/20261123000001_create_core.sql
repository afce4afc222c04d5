-- migrate:up
SET lock_timeout = '5s';

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- The application's role. Embedded, the supervisor made it; elsewhere the operator may.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment') THEN
    BEGIN
      CREATE ROLE fulfillment NOLOGIN NOSUPERUSER NOBYPASSRLS;
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE NOTICE 'no role "fulfillment": row-level security holds the owner instead';
    END;
  END IF;
END
$$;

-- What a transaction may see: one partner's id, several with commas between, or * for the warehouse and the workers.
CREATE FUNCTION visible_to_tenant(partner text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN current_setting('fulfillment.tenant', true) = '*'
    OR partner = ANY (string_to_array(current_setting('fulfillment.tenant', true), ','));

-- Facts that processes keep in memory. A transaction that relies on them reads the version beside its own rows.
CREATE TABLE cache_versions (
  name text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL DEFAULT 1
);
INSERT INTO cache_versions (name) VALUES ('catalog'), ('partners'), ('clients'), ('shipping');

CREATE FUNCTION bump_cache_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  UPDATE cache_versions SET version = version + 1 WHERE name = TG_ARGV[0];
  PERFORM pg_notify('fulfillment_changes', TG_ARGV[0]);
  RETURN NULL;
END
$$;

CREATE TABLE partners (
  id text COLLATE "C" PRIMARY KEY,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  description text,
  discount numeric(5, 4) NOT NULL DEFAULT 0 CHECK (discount BETWEEN 0 AND 1),
  volume_discounts jsonb NOT NULL DEFAULT '{"60": "0.05", "90": "0.10"}', -- fraction by days of supply
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
  webhook_secret text,          -- sealed (AES-256-GCM), never plain
  clock_frozen_at timestamptz,  -- a test clock of the sandbox; null: the real time
  auto_advance_seconds int CHECK (auto_advance_seconds > 0),
  webhook_faults jsonb,         -- the sandbox's faults on demand
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE TRIGGER partners_changed AFTER INSERT OR UPDATE OR DELETE ON partners
  FOR EACH STATEMENT EXECUTE FUNCTION bump_cache_version('partners');

CREATE TABLE oauth_clients (
  client_id text COLLATE "C" PRIMARY KEY,
  partner_id text COLLATE "C" REFERENCES partners,
  scope text NOT NULL CHECK (scope IN ('partner', 'operator')),
  label text NOT NULL DEFAULT '',
  secret_hash text NOT NULL,             -- HMAC-SHA256 with a pepper that is not in this database
  previous_secret_hash text,             -- the one before a rotation
  previous_secret_until timestamptz,
  created_at timestamptz NOT NULL,
  revoked_at timestamptz,
  CHECK ((scope = 'partner') = (partner_id IS NOT NULL))
);
CREATE INDEX oauth_clients_partner ON oauth_clients (partner_id);
CREATE TRIGGER oauth_clients_changed AFTER INSERT OR UPDATE OR DELETE ON oauth_clients
  FOR EACH STATEMENT EXECUTE FUNCTION bump_cache_version('clients');

CREATE TABLE products (
  id bigint PRIMARY KEY CHECK (id > 0),
  name text NOT NULL CHECK (name <> ''),
  description text NOT NULL DEFAULT '',
  pack_description text,
  list_price numeric(12, 4) NOT NULL CHECK (list_price >= 0),
  external boolean NOT NULL,
  product_image text,
  recommended_usage jsonb,               -- {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0}
  form text CHECK (form IN ('tablet', 'capsule', 'softgel', 'gummy')),
  certifications text[] NOT NULL DEFAULT '{}',
  allergens text[] NOT NULL DEFAULT '{}',          -- the contract's free-from claims
  contains_allergens text[] NOT NULL DEFAULT '{}',
  stimulant boolean NOT NULL DEFAULT false,
  supplement_facts jsonb,
  status text NOT NULL CHECK (status IN ('ACTIVE', 'DRAFT', 'BACKORDERED', 'DISCONTINUED')),
  search_terms text[] NOT NULL DEFAULT '{}',
  search_text text NOT NULL DEFAULT '',            -- name, terms and ingredients, lower case; written by the catalogue
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE INDEX products_search ON products USING gin (search_text gin_trgm_ops);
CREATE INDEX products_updated ON products (updated_at);
CREATE TRIGGER products_changed AFTER INSERT OR UPDATE OR DELETE ON products
  FOR EACH STATEMENT EXECUTE FUNCTION bump_cache_version('catalog');

CREATE TABLE shipping_methods (
  name text COLLATE "C" PRIMARY KEY CHECK (name IN ('STANDARD', 'EXPRESS', 'OVERNIGHT')),
  description text NOT NULL,
  price numeric(12, 4) NOT NULL CHECK (price >= 0),
  position smallint NOT NULL
);
INSERT INTO shipping_methods VALUES
  ('STANDARD', '5-8 business days', 5.99, 1),
  ('EXPRESS', '2-3 business days', 14.99, 2),
  ('OVERNIGHT', '1 business day', 29.99, 3);
CREATE TRIGGER shipping_methods_changed AFTER INSERT OR UPDATE OR DELETE ON shipping_methods
  FOR EACH STATEMENT EXECUTE FUNCTION bump_cache_version('shipping');

CREATE TABLE lots (
  id text COLLATE "C" PRIMARY KEY,
  product_id bigint NOT NULL REFERENCES products,
  lot_number text NOT NULL CHECK (lot_number <> ''),
  expiry date,                            -- the last day on which it may be used; null: it does not expire
  supplier text,
  location text,
  state text NOT NULL CHECK (state IN ('APPROVED', 'QUARANTINED', 'ON_HOLD', 'RECALLED', 'EXPIRED', 'DEPLETED')),
  received int NOT NULL CHECK (received > 0),      -- pills or units
  on_hand int NOT NULL CHECK (on_hand >= 0),       -- equals the sum of the lot's movements
  reserved int NOT NULL DEFAULT 0,                 -- equals the sum of the lot's open reservations
  received_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CONSTRAINT lots_never_oversold CHECK (reserved BETWEEN 0 AND on_hand),
  CONSTRAINT lots_number_unique UNIQUE (product_id, lot_number)
) WITH (fillfactor = 50);                 -- the counters change with each order: leave room for HOT updates

CREATE TABLE inventory_movements (
  id text COLLATE "C" PRIMARY KEY,
  lot_id text COLLATE "C" NOT NULL REFERENCES lots,
  kind text NOT NULL CHECK (kind IN ('RECEIVED', 'ADJUSTED', 'CONSUMED', 'SCRAPPED')),
  quantity int NOT NULL CHECK (quantity <> 0),     -- signed: what it adds to the lot's on_hand
  order_id text COLLATE "C",
  reason text,
  actor text NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE INDEX inventory_movements_lot ON inventory_movements (lot_id, id);

-- What an order holds of a lot. OPEN counts in lots.reserved; CONSUMED has left lots.on_hand and is the trace.
CREATE TABLE reservations (
  order_id text COLLATE "C" NOT NULL,
  product_id bigint NOT NULL,
  lot_id text COLLATE "C" NOT NULL,
  quantity int NOT NULL CHECK (quantity > 0),
  state text COLLATE "C" NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'CONSUMED', 'RELEASED')),
  PRIMARY KEY (order_id, product_id, lot_id)
) WITH (fillfactor = 85);
CREATE INDEX reservations_lot ON reservations (lot_id);

CREATE TABLE protocols (
  id text COLLATE "C" PRIMARY KEY,
  partner_id text COLLATE "C" NOT NULL REFERENCES partners,
  customer jsonb NOT NULL,
  customer_name text NOT NULL,            -- "first last", lower case, for the search
  days_supply smallint NOT NULL,
  order_type text,
  shipping_method text NOT NULL,
  line_items jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE INDEX protocols_partner ON protocols (partner_id, id);
CREATE INDEX protocols_name ON protocols USING gin (customer_name gin_trgm_ops);

-- An order keeps the frozen part of its answer as it was written (document, customer: json text, byte for byte), and
-- beside it, as columns, what changes or is asked for.
CREATE TABLE orders (
  id text COLLATE "C" PRIMARY KEY,
  partner_id text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL DEFAULT 'CREATED' CHECK (
    status IN ('CREATED', 'CANCELLED', 'PROCESSING', 'FULFILLED', 'AWAITING_SHIPMENT', 'SHIPPED')),
  sequence int NOT NULL DEFAULT 1,         -- of its newest event
  days_supply smallint NOT NULL,
  shipping_method text COLLATE "C" NOT NULL,
  protocol_id text COLLATE "C",
  customer_source_id text,                 -- the customer's id in the partner's system
  customer json NOT NULL,                  -- personal data: erased on request
  document json NOT NULL,                  -- lines, prices and totals as answered at creation
  warnings json,
  holds json,                              -- the open holds as answered; null: none
  fulfillment json,                        -- the contract's fulfillmentInfo
  shipments json,
  content_key bigint,                      -- hash of partner, customer and content: finds look-alikes
  release_at timestamptz,                  -- the cut-off: until then it can be cancelled; null: released by hand
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX orders_partner ON orders (partner_id, id);
CREATE INDEX orders_partner_status ON orders (partner_id, status, id);
CREATE INDEX orders_content ON orders (content_key);
CREATE INDEX orders_due ON orders (release_at) WHERE status = 'CREATED' AND release_at IS NOT NULL;

-- Why an order may not go on. Any open one blocks release and shipping.
CREATE TABLE holds (
  id text COLLATE "C" PRIMARY KEY,
  order_id text COLLATE "C" NOT NULL REFERENCES orders,
  partner_id text COLLATE "C" NOT NULL,
  code text NOT NULL CHECK (code IN (
    'ADDRESS', 'STOCK_SHORT', 'LOT_RECALLED', 'PARTNER_REQUEST', 'DUPLICATE_SUSPECTED', 'OPERATOR')),
  note text NOT NULL DEFAULT '',
  actor text NOT NULL,                     -- partner, operator or system
  created_at timestamptz NOT NULL,
  released_at timestamptz,
  released_by text
);
CREATE INDEX holds_order ON holds (order_id);

CREATE TABLE idempotency_keys (
  partner_id text COLLATE "C" NOT NULL,
  operation text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  fingerprint bytea NOT NULL,              -- SHA-256 of the request's content
  status smallint NOT NULL,
  body bytea NOT NULL,                     -- the answer, byte for byte
  order_id text COLLATE "C",
  created_at timestamptz NOT NULL,
  PRIMARY KEY (partner_id, operation, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys USING brin (created_at);

-- One row for each change, never updated. Readers page by (era, txid, id) and stop before the oldest transaction that
-- still runs, so that a late commit is never skipped. The era grows when a dump is restored: transaction ids start anew.
CREATE TABLE events (
  id text COLLATE "C" PRIMARY KEY,
  era smallint NOT NULL DEFAULT 1,
  txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  partner_id text COLLATE "C" NOT NULL,
  order_id text COLLATE "C",               -- null: not about one order
  order_sequence int,
  type text COLLATE "C" NOT NULL,
  payload json NOT NULL,                   -- the body as it is sent
  created_at timestamptz NOT NULL
);
CREATE INDEX events_feed ON events (partner_id, era, txid, id);
CREATE UNIQUE INDEX events_order ON events (order_id, order_sequence) WHERE order_id IS NOT NULL;

-- A delivery is due when PENDING and due_at has come; the lease keeps other workers off while one sends it.
CREATE TABLE webhook_deliveries (
  id text COLLATE "C" PRIMARY KEY,
  event_id text COLLATE "C" NOT NULL,
  partner_id text COLLATE "C" NOT NULL,
  order_id text COLLATE "C",
  order_sequence int,
  status text COLLATE "C" NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED', 'DISCARDED')),
  attempts int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL,
  leased_until timestamptz,
  on_clock boolean NOT NULL DEFAULT false, -- of a partner with a test clock
  created_at timestamptz NOT NULL,
  finished_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (order_id, order_sequence) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_partner ON webhook_deliveries (partner_id, id);
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id);

CREATE TABLE webhook_attempts (
  delivery_id text COLLATE "C" NOT NULL,
  attempt int NOT NULL,
  partner_id text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  duration_ms int NOT NULL,
  status_code int,
  error text,                              -- the class of the fault; null: an answer came
  excerpt bytea,                           -- the start of the receiver's answer
  PRIMARY KEY (delivery_id, attempt)
);

-- How a partner's receiver does.
CREATE TABLE webhook_endpoints (
  partner_id text COLLATE "C" PRIMARY KEY REFERENCES partners,
  status text NOT NULL DEFAULT 'ENABLED' CHECK (status IN ('ENABLED', 'DISABLED')),
  failures int NOT NULL DEFAULT 0,         -- in a row
  failing_since timestamptz,
  disabled_at timestamptz,
  disabled_reason text
);

CREATE TABLE audit_log (
  id text COLLATE "C" PRIMARY KEY,
  actor text NOT NULL,                     -- the client's id, or "cli"
  action text NOT NULL,
  object_type text NOT NULL,
  object_id text NOT NULL,
  before jsonb,
  after jsonb,
  request_id text,
  created_at timestamptz NOT NULL
);
CREATE INDEX audit_log_object ON audit_log (object_type, object_id, id);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The second lock: even a statement without its WHERE sees only the tenant's rows.
DO $$
DECLARE
  tenant_table text;
BEGIN
  FOREACH tenant_table IN ARRAY ARRAY['orders', 'protocols', 'holds', 'idempotency_keys', 'events',
                                      'webhook_deliveries', 'webhook_attempts', 'webhook_endpoints'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('CREATE POLICY tenant ON %I USING (visible_to_tenant(partner_id)) '
                   'WITH CHECK (visible_to_tenant(partner_id))', tenant_table);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment') THEN
    GRANT USAGE ON SCHEMA public TO fulfillment;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO fulfillment;
    REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM fulfillment;
    REVOKE UPDATE ON events FROM fulfillment;
    REVOKE INSERT, UPDATE, DELETE ON cache_versions FROM fulfillment;
  END IF;
END
$$;

-- migrate:down
