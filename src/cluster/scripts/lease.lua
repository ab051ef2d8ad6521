-- Takes, renews or ends the lease of a relay. An incarnation that lost its lease never gets it
-- again: others may be freeing its names.
-- KEYS: lease, id, relays, epoch, change. ARGV: incarnation, what, id, a new epoch.
-- Answers: held, epoch, number of the last change, number of the last entry that was ever appended
-- for the caller, in how many milliseconds the next lease of another relay ends unless it is renewed,
-- and the incarnations whose leases ended;
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
local dead, next_end = {}, LEASE
for _, other in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local left = redis.call('PTTL', P .. 'relay:' .. other)
  if left == -2 then
    dead[#dead + 1] = other
  elseif left >= 0 and other ~= own then
    next_end = math.min(next_end, left)
  end
end
table.sort(dead)
return {'held', redis.call('GET', KEYS[4]), redis.call('GET', KEYS[5]) or '0',
  redis.call('HGET', P .. 'flow:' .. own, 'number') or '0', next_end, unpack(dead)}
