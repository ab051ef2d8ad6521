-- Deletes some letters that came before an instant.
-- KEYS: lease, ages. ARGV: incarnation, milliseconds since 1970.
-- Answers: expired, how many; or no_lease.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local found = redis.call('ZRANGE', KEYS[2], '-inf', '(' .. ARGV[2], 'BYSCORE', 'LIMIT', 0,
  UPKEEP_LETTERS)
for _, member in ipairs(found) do
  local name, number = string.match(member, '^(%S+) (%d+)$')
  remove(name, number)
end
return {'expired', #found}
