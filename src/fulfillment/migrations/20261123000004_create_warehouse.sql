-- migrate:up
SET lock_timeout = '5s';

-- A batch: orders that are picked and packed together.
CREATE TABLE batches (
  id text COLLATE "C" PRIMARY KEY,
  actor text NOT NULL,
  created_at timestamptz NOT NULL
);

-- An order is worked on in one batch at most.
CREATE TABLE batch_orders (
  order_id text COLLATE "C" PRIMARY KEY REFERENCES orders,
  batch_id text COLLATE "C" NOT NULL REFERENCES batches,
  partner_id text COLLATE "C" NOT NULL
);
CREATE INDEX batch_orders_batch ON batch_orders (batch_id, order_id);

-- Who checked which pack. The pack '*' stands for all packs of the order that nobody had checked until then.
CREATE TABLE pack_confirmations (
  order_id text COLLATE "C" NOT NULL REFERENCES orders,
  pack_id text COLLATE "C" NOT NULL,
  partner_id text COLLATE "C" NOT NULL,
  actor text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (order_id, pack_id)
);

-- A parcel with its carrier. The tracking status is an axis of its own: it never becomes the order's status.
CREATE TABLE shipments (
  id text COLLATE "C" PRIMARY KEY,
  order_id text COLLATE "C" NOT NULL REFERENCES orders,
  partner_id text COLLATE "C" NOT NULL,
  carrier text NOT NULL,
  service text,
  tracking_number text COLLATE "C" NOT NULL,
  tracking_url text,
  check_digit text NOT NULL CHECK (check_digit IN ('valid', 'unknown')),
  simulated boolean NOT NULL,
  tracking_status text NOT NULL CHECK (tracking_status IN (
    'Pending', 'InfoReceived', 'InTransit', 'OutForDelivery', 'AttemptFail', 'AvailableForPickup', 'Delivered',
    'Exception', 'Expired')),
  checkpoints json NOT NULL DEFAULT '[]', -- oldest first, with what the carrier wrote
  created_at timestamptz NOT NULL,
  shipped_at timestamptz,                 -- the carrier has it
  updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX shipments_order ON shipments (order_id, id);
CREATE INDEX shipments_number ON shipments (tracking_number, id);

-- What carriers sent us, so that the same message counts once.
CREATE TABLE tracking_messages (
  key text COLLATE "C" PRIMARY KEY,       -- the sender, and a hash of its message's id or, without one, of the message
  received_at timestamptz NOT NULL
);
CREATE INDEX tracking_messages_received ON tracking_messages USING brin (received_at);

-- REPLACED: it had left the lot for an order, and was thrown away and made anew from another lot.
ALTER TABLE reservations DROP CONSTRAINT reservations_state_check;
ALTER TABLE reservations ADD CONSTRAINT reservations_state_check
  CHECK (state IN ('OPEN', 'CONSUMED', 'RELEASED', 'REPLACED')) NOT VALID;
ALTER TABLE reservations VALIDATE CONSTRAINT reservations_state_check;

-- What is in the warehouse's hands, by what is to be done next.
CREATE INDEX orders_in_work ON orders (status, id) WHERE status IN ('PROCESSING', 'FULFILLED', 'AWAITING_SHIPMENT');
CREATE INDEX lots_expiring ON lots (expiry) WHERE state IN ('APPROVED', 'QUARANTINED', 'ON_HOLD');

DO $$
DECLARE
  tenant_table text;
BEGIN
  FOREACH tenant_table IN ARRAY ARRAY['batch_orders', 'pack_confirmations', 'shipments'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('CREATE POLICY tenant ON %I USING (visible_to_tenant(partner_id)) '
                   'WITH CHECK (visible_to_tenant(partner_id))', tenant_table);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON batches, batch_orders, pack_confirmations, shipments, tracking_messages
       TO fulfillment;
  END IF;
END
$$;

-- migrate:down
