-- Admits what the command before it, in the same transaction, has appended to what waits for another
-- relay, or takes it back. (It is not appended here because a script hashes each byte of each text.)
-- KEYS: lease, relay:<target>, in:<target>, flow:<target>.
-- ARGV: incarnation, bytes, '1' where it may be refused.
-- Answers: queued; or no_lease, gone, full.
local bytes = tonumber(ARGV[2])
local holds = redis.call('EXISTS', KEYS[1]) == 1
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[3])
  return {holds and 'gone' or 'no_lease'}
end
local last = tonumber(redis.call('HGET', KEYS[4], 'last') or '0')
local waits = last - tonumber(redis.call('HGET', KEYS[4], 'done') or '0')
local is_full = ARGV[3] == '1' and waits > 0 and waits + bytes > MAX_INBOX
if holds and not is_full then
  count(KEYS[4], bytes)
  return {'queued'}
end
local entry = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
redis.call('XDEL', KEYS[3], entry[1])
count(KEYS[4], 0)
return {holds and 'full' or 'no_lease'}
