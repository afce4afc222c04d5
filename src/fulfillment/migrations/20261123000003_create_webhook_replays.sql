-- migrate:up
SET lock_timeout = '5s';

-- Every statement on these two knows the partner, so one index by partner and id does the work of two.
ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (partner_id, id);
ALTER TABLE webhook_deliveries DROP CONSTRAINT webhook_deliveries_pkey, ADD PRIMARY KEY (partner_id, id);
DROP INDEX webhook_deliveries_partner;

-- Claims go partner by partner, so that one with a mountain of due deliveries is not in the way of the others.
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (partner_id, due_at) WHERE status = 'PENDING';

-- What else of an order is under way, the log of one order, and the deliveries of one event.
DROP INDEX webhook_deliveries_waiting, webhook_deliveries_event;
CREATE INDEX webhook_deliveries_order ON webhook_deliveries (order_id, order_sequence) WHERE order_id IS NOT NULL;
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id) WHERE order_id IS NULL;

-- The log of what failed: few rows among very many.
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (partner_id, id) WHERE status = 'FAILED';

ALTER TABLE webhook_deliveries ADD COLUMN replay_id text COLLATE "C";
CREATE INDEX webhook_deliveries_replay ON webhook_deliveries (replay_id) WHERE replay_id IS NOT NULL;

-- While a receiver has failed many times in a row, one delivery at a time tries it: not before this moment.
ALTER TABLE webhook_endpoints ADD COLUMN probe_at timestamptz;

-- A span of events that a partner asked to be sent again. Workers queue it batch by batch, oldest event first.
CREATE TABLE webhook_replays (
  id text COLLATE "C" NOT NULL,
  partner_id text COLLATE "C" NOT NULL REFERENCES partners,
  since timestamptz NOT NULL,
  until timestamptz NOT NULL,
  types text[],                            -- null: all
  only_failed boolean NOT NULL,
  total int NOT NULL,                      -- events found when it was asked for
  queued int NOT NULL DEFAULT 0,           -- deliveries made so far
  after_id text COLLATE "C" NOT NULL DEFAULT '',  -- the event the next batch begins behind
  queued_at timestamptz,                   -- null: there are more to queue
  created_at timestamptz NOT NULL,
  PRIMARY KEY (partner_id, id)
);
-- One at a time for each partner: two over the same events would send them twice.
CREATE UNIQUE INDEX webhook_replays_open ON webhook_replays (partner_id) WHERE queued_at IS NULL;
ALTER TABLE webhook_replays ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_replays FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_replays USING (visible_to_tenant(partner_id))
  WITH CHECK (visible_to_tenant(partner_id));

-- The era that new events get. Whoever restores a dump raises it with ALTER TABLE events ALTER era SET DEFAULT n:
-- events of earlier eras are all readable, however large their transaction ids are.
CREATE FUNCTION current_event_era() RETURNS smallint LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
  SELECT (regexp_match(pg_get_expr(defaults.adbin, defaults.adrelid), '\d+'))[1]::smallint
    FROM pg_attrdef AS defaults
    JOIN pg_attribute AS attribute ON attribute.attrelid = defaults.adrelid AND attribute.attnum = defaults.adnum
   WHERE defaults.adrelid = 'public.events'::regclass AND attribute.attname = 'era');

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_replays TO fulfillment;
  END IF;
END
$$;

-- migrate:down
