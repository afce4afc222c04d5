-- migrate:up
SET lock_timeout = '5s';

-- Each partner's own requests of the last days: how they were answered, never what they held.
CREATE TABLE request_log (
  partner_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,            -- the X-Request-Id
  client_id text COLLATE "C" NOT NULL,
  method text NOT NULL,
  route text NOT NULL,                     -- the path with its parameters' names
  status smallint NOT NULL,
  code text,                               -- of the problem, when there was one
  duration_us int NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (partner_id, id)
);
CREATE INDEX request_log_created ON request_log USING brin (created_at);

-- What the sandbox remembers of a partner whose orders move by themselves, or that has a test clock.
CREATE TABLE sandbox_states (
  partner_id text COLLATE "C" PRIMARY KEY REFERENCES partners,
  seed text NOT NULL,                      -- of everything that is left to chance
  planned int NOT NULL DEFAULT 0,          -- orders since the seed was set
  planned_after text COLLATE "C" NOT NULL DEFAULT '',  -- the newest order that has a plan
  moving_until timestamptz                 -- real time; while it lies ahead somebody moves this partner's orders
);

-- How a sandbox order goes on.
CREATE TABLE sandbox_plans (
  order_id text COLLATE "C" PRIMARY KEY REFERENCES orders,
  partner_id text COLLATE "C" NOT NULL,
  scenario text NOT NULL,
  dice text NOT NULL,                      -- the seed of what is left to chance for this order
  step int NOT NULL DEFAULT 0,             -- how many of its steps are made
  next_at timestamptz,                     -- on the partner's clock; null: finished
  lot_id text COLLATE "C"                  -- of its own, to be recalled
);
CREATE INDEX sandbox_plans_due ON sandbox_plans (partner_id, next_at) WHERE next_at IS NOT NULL;

-- Whoever checks tokens needs to know of test clocks, and of nothing else of a partner.
INSERT INTO cache_versions (name) VALUES ('clocks');
CREATE TRIGGER partners_clocks_changed AFTER UPDATE OF clock_frozen_at ON partners
  FOR EACH STATEMENT EXECUTE FUNCTION bump_cache_version('clocks');

DO $$
DECLARE
  tenant_table text;
BEGIN
  FOREACH tenant_table IN ARRAY ARRAY['request_log', 'sandbox_states', 'sandbox_plans'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('CREATE POLICY tenant ON %I USING (visible_to_tenant(partner_id)) '
                   'WITH CHECK (visible_to_tenant(partner_id))', tenant_table);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON request_log, sandbox_states, sandbox_plans TO fulfillment;
  END IF;
END
$$;

-- migrate:down
