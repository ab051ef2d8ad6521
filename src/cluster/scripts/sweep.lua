-- Deletes entries of a stream that no relay has written, so its reader does not understand them.
-- Where one of them had an id far ahead, none of ours could be appended behind it; and an id that was
-- once deleted stays the last one (`XSETID` refuses a lower one). So the stream is made anew.
-- KEYS: lease, the stream, flow:<own>. ARGV: incarnation, number of the last entry that the caller has
-- read, ids of those to delete.
-- Answers: swept; or no_lease.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local foreign, is_there = {}, false
for i = 3, #ARGV do
  foreign[ARGV[i]] = true
  is_there = is_there or #redis.call('XRANGE', KEYS[2], ARGV[i], ARGV[i]) > 0
end
if not is_there then return {'swept'} end -- another relay was faster
if KEYS[2] == P .. 'changes' then
  redis.call('DEL', KEYS[2])
  note('', '') -- who has missed one of those before sees a gap
  return {'swept'}
end
local number = math.max(tonumber(redis.call('HGET', KEYS[3], 'number') or '0'), tonumber(ARGV[2]))
local entries, kept = redis.call('XRANGE', KEYS[2], '-', '+'), 0
redis.call('DEL', KEYS[2])
for _, entry in ipairs(entries) do
  local id, fields = unpack(entry)
  local place = tonumber(string.match(id, '^0%-(%d+)$'))
  -- Ours have three fields.
  if place and place <= LAST_NUMBER and #fields == 6 and not foreign[id] then
    redis.call('XADD', KEYS[2], id, unpack(fields))
    number, kept = math.max(number, place), kept + 1
  end
end
redis.call('HSET', KEYS[3], 'number', text(number))
if kept == 0 then
  -- Ids go on from there.
  if number > 0 then redis.call('XADD', KEYS[2], 'MAXLEN', 0, '0-' .. text(number), '', '') end
  redis.call('HSET', KEYS[3], 'done', redis.call('HGET', KEYS[3], 'last') or '0')
end
return {'swept'}
