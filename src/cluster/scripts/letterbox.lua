-- Another letter key of a user.
-- KEYS: lease, bound:<name>, user:<name>.
-- ARGV: incarnation, now, name, fp, key text, id, created, expires, the key as JSON.
-- Answers: letterbox, and the id of each key under which letters wait, followed by how many;
-- or no_lease, released, stale_key.
local _, now, name, fp, pem, id, created, expires, json = unpack(ARGV)
now = tonumber(now)
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
if redis.call('GET', KEYS[2]) ~= fp then return {'released'} end
redis.call('HSET', KEYS[3], 'fp', fp, 'pem', pem)
local newest = redis.call('HMGET', KEYS[3], 'key_id', 'key_created')
-- A key from the future was made while its owner's clock was wrong: nobody would seal to it, and it
-- must not stand in the way of those that follow.
local at = tonumber(newest[2] or '0')
if at > tonumber(created) and at <= now + CLOCK_SKEW then return {'stale_key'} end
if newest[1] ~= id then
  if newest[1] then
    redis.call('HSET', KEYS[3], 'old_key_id', newest[1],
      'old_key_until', text(now + LETTER_KEY_GRACE))
  end
  redis.call('HSET', KEYS[3], 'key_id', id, 'key_created', created, 'key_expires', expires,
    'key_json', json)
end
local counts, ids, answer = {}, {}, {'letterbox'}
for _, letter in ipairs(read_box(name)) do
  if not counts[letter.key_id] then ids[#ids + 1] = letter.key_id end
  counts[letter.key_id] = (counts[letter.key_id] or 0) + 1
end
table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
for _, key_id in ipairs(ids) do
  answer[#answer + 1] = key_id
  answer[#answer + 1] = counts[key_id]
end
return answer
