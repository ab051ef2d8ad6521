-- Deletes what this relay has read of what waits for it.
-- KEYS: lease, in:<own>, flow:<own>. ARGV: incarnation, number of the last entry that was read.
-- Answers: drained, how many entries; or no_lease.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local deleted = redis.call('XTRIM', KEYS[2], 'MINID', text(tonumber(ARGV[2]) + 1))
redis.call('HSET', KEYS[3], 'done', ARGV[2])
return {'drained', deleted}
