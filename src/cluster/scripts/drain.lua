-- Deletes what this relay has read of what waits for it.
-- KEYS: lease, in:<own>, flow:<own>. ARGV: incarnation, number of the last entry that was read, bytes
-- of all that were read since this was called last.
-- Answers: drained, how many entries; or no_lease.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local deleted = redis.call('XTRIM', KEYS[2], 'MINID', '0-' .. text(tonumber(ARGV[2]) + 1))
if deleted > 0 then redis.call('HINCRBY', KEYS[3], 'done', ARGV[3]) end
-- A call that was lost has counted nothing: where nothing waits, the count is right again.
if redis.call('XLEN', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[3], 'done', redis.call('HGET', KEYS[3], 'last') or '0')
end
return {'drained', deleted}
