-- Takes, renews or ends the lease of a relay. An incarnation that lost its lease never gets it
-- again: others may be freeing its names.
-- KEYS: lease, id, relays, epoch, change. ARGV: incarnation, what, id, a new epoch.
-- Answers: held, epoch, number of the last change, number of the last entry that was ever appended for
-- the caller, and the incarnations whose leases ended;
-- or other_id, full, exists, gone, ended.
local own, what = ARGV[1], ARGV[2]
if what == 'end' then
  redis.call('DEL', KEYS[1])
  return {'ended'}
end
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return {'other_id'} end
if what == 'take' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end
  if redis.call('SCARD', KEYS[3]) >= MAX_RELAYS then return {'full'} end
  redis.call('SET', KEYS[1], '1', 'PX', LEASE)
  redis.call('SADD', KEYS[3], own)
  redis.call('SET', KEYS[4], ARGV[4], 'NX')
elseif redis.call('PEXPIRE', KEYS[1], LEASE) == 0 then
  return {'gone'}
end
local dead = {}
for _, other in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if not lives(other) then dead[#dead + 1] = other end
end
table.sort(dead)
return {'held', redis.call('GET', KEYS[4]), redis.call('GET', KEYS[5]) or '0',
  redis.call('HGET', P .. 'flow:' .. own, 'number') or '0', unpack(dead)}
