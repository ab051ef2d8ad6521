-- The user of a box has opened a session to another, who is no stranger to it from now on.
-- KEYS: lease, bound:<owner>, bound:<other>. ARGV: incarnation, now, owner, its fp, other.
-- Answers: noted; or no_lease.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local other_fp = redis.call('GET', KEYS[3])
if other_fp and redis.call('GET', KEYS[2]) == ARGV[4] then
  note_written(ARGV[3], ARGV[5], other_fp, tonumber(ARGV[2]))
end
return {'noted'}
