-- Binds names that a relay kept on its own disk, where they are free: an engine that was emptied
-- must not free every name. One that was released of this key stays free.
-- KEYS: lease, bindings, and of each name bound:<name> and names:<fp>.
-- ARGV: incarnation, and of each name the name and fp.
-- Answers: restored, and the names that are bound to other keys or were released; or no_lease, full.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local bindings = tonumber(redis.call('GET', KEYS[2]) or '0')
if bindings + (#ARGV - 1) / 2 > MAX_BOUND_NAMES then return {'full'} end
local answer = {'restored'}
for i = 2, #ARGV, 2 do
  local owner = redis.call('GET', KEYS[i + 1])
  local released = redis.call('GET', P .. 'unbound:' .. ARGV[i])
  if not owner and released ~= ARGV[i + 1] then
    redis.call('SET', KEYS[i + 1], ARGV[i + 1])
    redis.call('SADD', KEYS[i + 2], ARGV[i])
    redis.call('INCR', KEYS[2])
  elseif owner ~= ARGV[i + 1] then
    answer[#answer + 1] = ARGV[i]
  end
end
return answer
