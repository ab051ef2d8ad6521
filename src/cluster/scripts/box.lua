-- Stands in front of the scripts about letters, behind `common.lua`.
-- `box:<name>` has what is known of each letter by its number, `content:<name>` the letters.

local TEXT, RECEIPT = '0', '1'

local function parse(number, value)
  local at, kind, share, key_id, bytes, sender, id =
    string.match(value, '^(%d+) (%d) (%d) (%d+) (%d+) (%S+) (.*)$')
  return {number = tonumber(number), at = tonumber(at), kind = kind, share = tonumber(share),
    key_id = key_id, bytes = tonumber(bytes), sender = sender, id = id}
end

-- All letters of a box, in the order in which they came.
local function read_box(name)
  local found, letters = redis.call('HGETALL', P .. 'box:' .. name), {}
  for i = 1, #found, 2 do
    letters[#letters + 1] = parse(found[i], found[i + 1])
  end
  table.sort(letters, function(a, b) return a.number < b.number end)
  return letters
end

-- Deletes a letter, and returns whether it was there.
local function remove(name, number)
  local value = redis.call('HGET', P .. 'box:' .. name, number)
  if not value then return false end
  local letter = parse(number, value)
  local sent = P .. 'sent:' .. letter.sender
  redis.call('HDEL', P .. 'box:' .. name, number)
  redis.call('HDEL', P .. 'content:' .. name, number)
  redis.call('ZREM', P .. 'ages', name .. ' ' .. number)
  redis.call('DECRBY', P .. 'letter-bytes', letter.bytes)
  if redis.call('HINCRBY', sent, '*', 0 - letter.bytes) <= 0 then redis.call('HDEL', sent, '*') end
  if redis.call('HINCRBY', sent, name, -1) <= 0 then redis.call('HDEL', sent, name) end
  return true
end

-- Puts a letter into a box. `at`: when it came, in milliseconds since 1970, as text.
local function put(name, at, kind, share, key_id, sender, id, content)
  local number, bytes = text(redis.call('INCR', P .. 'letters')), #content
  local known = {at, kind, share, key_id, bytes, sender, id}
  redis.call('HSET', P .. 'box:' .. name, number, table.concat(known, ' '))
  redis.call('HSET', P .. 'content:' .. name, number, content)
  redis.call('INCRBY', P .. 'letter-bytes', bytes)
  redis.call('HINCRBY', P .. 'sent:' .. sender, '*', bytes)
  redis.call('HINCRBY', P .. 'sent:' .. sender, name, 1)
  redis.call('ZADD', P .. 'ages', at, name .. ' ' .. number)
end

-- Tells the relay of the owner of a box, which may be delivering already, that a letter came.
local function tell_owner(name, kind)
  local owner = holder(name)
  if owner and owner.incarnation ~= ARGV[1] and lives(owner.incarnation) then
    send(owner.incarnation, 'letter', kind .. ' ' .. name)
  end
end

-- The owner of a box has written to another user, who is no stranger to it from now on. Writes
-- nothing where that was noted within a day.
local function note_written(owner, other, fp, now)
  local written, member = P .. 'written:' .. owner, other .. ' ' .. fp
  local at = redis.call('ZSCORE', written, member)
  if at and tonumber(at) >= now - DAY then return end
  redis.call('ZADD', written, text(now), member)
  redis.call('ZREMRANGEBYRANK', written, 0, -(WRITTEN_KEPT + 1))
end
