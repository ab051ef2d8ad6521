-- Frees names that a relay held whose lease has ended, some a call, those of the lowest sessions
-- first; the last call forgets the relay.
-- KEYS: lease, of:<dead>, in:<dead>, flow:<dead>, relays. ARGV: incarnation, the dead one's.
-- Answers: reaped, how many names, how many are left; or no_lease, alive.
local own, dead = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
if lives(dead) then return {'alive'} end
local names = redis.call('ZRANGE', KEYS[2], 0, REAPED_A_CALL - 1)
for _, name in ipairs(names) do
  redis.call('ZREM', KEYS[2], name)
  local held = holder(name)
  if held and held.incarnation == dead then let_go(name) end
end
local left = redis.call('ZCARD', KEYS[2])
if left == 0 then
  redis.call('DEL', KEYS[3], KEYS[4])
  redis.call('SREM', KEYS[5], dead)
end
return {'reaped', #names, left}
