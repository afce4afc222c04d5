-- migrate:up
SET lock_timeout = '5s';

-- Limits that hold over all processes. Unlogged: a crash forgets them, which costs nothing, and writing them waits for no
-- disk. Moments are Unix seconds, since limits are arithmetic.

-- A bucket of the generic cell rate algorithm: the moment at which it will be full again ("theoretical arrival time").
CREATE UNLOGGED TABLE rate_limits (
  key text COLLATE "C" PRIMARY KEY,        -- the partner and the class of operation
  full_at double precision NOT NULL,
  granted int NOT NULL                     -- to whoever asked last; a RETURNING can't see the row before
) WITH (fillfactor = 50);

-- Wrong secrets at the token endpoint. Keys are hashes: what was claimed may be anything, an address is personal data.
CREATE UNLOGGED TABLE token_failures (
  key text COLLATE "C" PRIMARY KEY,
  since double precision NOT NULL,
  failures int NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX token_failures_since ON token_failures (since);

-- Pairs of client and address that knew the secret lately.
CREATE UNLOGGED TABLE token_trust (
  key text COLLATE "C" PRIMARY KEY,
  since double precision NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX token_trust_since ON token_trust (since);

-- The second lock for the two tables that are read to find out who asks.
DO $$
BEGIN
  ALTER TABLE partners ENABLE ROW LEVEL SECURITY;
  ALTER TABLE partners FORCE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON partners USING (visible_to_tenant(id)) WITH CHECK (visible_to_tenant(id));
  ALTER TABLE oauth_clients ENABLE ROW LEVEL SECURITY;
  ALTER TABLE oauth_clients FORCE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON oauth_clients USING (visible_to_tenant(partner_id))
    WITH CHECK (visible_to_tenant(partner_id));
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limits, token_failures, token_trust TO fulfillment;
  END IF;
END
$$;

-- migrate:down
