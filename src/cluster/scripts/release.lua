-- A connection that held a name is gone.
-- KEYS: lease, of:<own>. ARGV: incarnation, name, session.
-- Answers: released; or no_lease, not_held.
local own, name, session = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local held = holder(name)
if not held or held.incarnation ~= own or held.session ~= session then return {'not_held'} end
redis.call('ZREM', KEYS[2], name)
let_go(name)
return {'released'}
