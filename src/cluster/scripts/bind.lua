-- Binds a name to a key, for good. Where no name may be bound for the first time (the caller's address
-- has bound many lately), one that is bound already is still told.
-- KEYS: lease, bound:<name>, names:<fp>, bindings. ARGV: incarnation, name, fp, '1' where it may be new.
-- Answers: new, bound; or no_lease, name_bound, name_in_use, key_full, full, not_now.
local name, fp = ARGV[2], ARGV[3]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local owner = redis.call('GET', KEYS[2])
if owner then return {owner == fp and 'bound' or 'name_bound'} end
if ARGV[4] ~= '1' then return {'not_now'} end
local held = holder(name)
if held and lives(held.incarnation) then return {'name_in_use'} end
if redis.call('SCARD', KEYS[3]) >= MAX_NAMES_PER_KEY then return {'key_full'} end
if tonumber(redis.call('GET', KEYS[4]) or '0') >= MAX_BOUND_NAMES then return {'full'} end
redis.call('SET', KEYS[2], fp)
-- That it was released of another key stays known: a relay may still have it of that.
if redis.call('GET', P .. 'unbound:' .. name) == fp then redis.call('DEL', P .. 'unbound:' .. name) end
redis.call('SADD', KEYS[3], name)
redis.call('INCR', KEYS[4])
return {'new'}
