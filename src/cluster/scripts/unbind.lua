-- The operator has released a name: the next user who proves it gets it. All other relays are told,
-- and one that is not there now is told when it would restore it.
-- KEYS: lease, bound:<name>, unbound:<name>, bindings, relays. ARGV: incarnation, name.
-- Answers: unbound; or no_lease, not_bound.
local name = ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local owner = redis.call('GET', KEYS[2])
if not owner then return {'not_bound'} end
redis.call('DEL', KEYS[2])
redis.call('SREM', P .. 'names:' .. owner, name)
redis.call('SET', KEYS[3], owner)
redis.call('DECR', KEYS[4])
for _, other in ipairs(redis.call('SMEMBERS', KEYS[5])) do
  if other ~= ARGV[1] and lives(other) then send(other, 'released', name) end
end
return {'unbound'}
