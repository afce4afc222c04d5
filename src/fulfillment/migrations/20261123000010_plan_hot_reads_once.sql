-- migrate:up
SET lock_timeout = '5s';

-- As in accept_orders: to plan these for each call takes longer than to run them (docs/decisions/0016).
ALTER FUNCTION read_orders(text[], text[])
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off;
ALTER FUNCTION read_newest_orders(text[], text[], int[])
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off;

-- migrate:down
