-- Binds names that a relay kept on its own disk, where they are free: an engine that was emptied
-- must not free every name. One that was released of this key stays free, and one that another key
-- has stays with that.
-- KEYS: lease, bindings, and of each name bound:<name> and names:<fp>.
-- ARGV: incarnation, and of each name the name and fp.
-- Answers: restored, and of each name that was not: the name, and `released` or `other`;
-- or no_lease, full.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local bindings = tonumber(redis.call('GET', KEYS[2]) or '0')
if bindings + (#ARGV - 1) / 2 > MAX_BOUND_NAMES then return {'full'} end
local answer = {'restored'}
for i = 2, #ARGV, 2 do
  local name, fp = ARGV[i], ARGV[i + 1]
  local owner = redis.call('GET', KEYS[i + 1])
  local is_released = redis.call('GET', P .. 'unbound:' .. name) == fp
  if not owner and not is_released then
    redis.call('SET', KEYS[i + 1], fp)
    redis.call('SADD', KEYS[i + 2], name)
    redis.call('INCR', KEYS[2])
  elseif owner ~= fp then
    answer[#answer + 1] = name
    answer[#answer + 1] = is_released and 'released' or 'other'
  end
end
return answer
