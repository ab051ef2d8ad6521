-- Keeps a letter, unless something speaks against it (`docs/protocol.md`, section 10). The same
-- letter is kept once.
-- KEYS: lease, bound:<sender>, bound:<to>, user:<to>, box:<to>, content:<to>, written:<to>,
-- sent:<sender>, letter-bytes, letters, ages, closed:<to>.
-- ARGV: incarnation, now, sender, its fp, to, id, kind, key id, the letter, bytes of all boxes.
-- Answers: kept; or no_lease, released, unknown_user, closed, no_key, key_expired, stale_key,
-- all_full, sender_full, stranger_full, box_full.
local _, now, sender, fp, to, id, kind, key_id, content, most = unpack(ARGV)
now = tonumber(now)
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
if redis.call('GET', KEYS[2]) ~= fp then return {'released'} end
local letters = read_box(to)
for _, letter in ipairs(letters) do
  if letter.sender == sender and letter.id == id then return {'kept'} end
end
local to_fp = redis.call('GET', KEYS[3])
if not to_fp then return {'unknown_user'} end
if redis.call('EXISTS', KEYS[12]) == 1 then return {'closed'} end
local key = redis.call('HMGET', KEYS[4], 'key_id', 'key_expires', 'old_key_id', 'old_key_until')
if not key[1] then return {'no_key'} end
if tonumber(key[2]) <= now then return {'key_expired'} end
local is_old = key[3] == key_id and now < tonumber(key[4])
if key[1] ~= key_id and not is_old then return {'stale_key'} end

local share, part = STRANGERS, 4
if redis.call('ZSCORE', KEYS[7], sender .. ' ' .. fp) then
  if kind == TEXT then share, part = KNOWN, 2 else share, part = RECEIPTS, 4 end
end
local bytes = #content
if tonumber(redis.call('GET', KEYS[9]) or '0') + bytes > tonumber(most) then
  return {'all_full'}
end
local sent = redis.call('HMGET', KEYS[8], '*', to)
if tonumber(sent[1] or '0') + bytes > SENDER_BYTES then return {'sender_full'} end
if share == STRANGERS and tonumber(sent[2] or '0') >= STRANGER_LETTERS then
  return {'stranger_full'}
end
local held, held_bytes = 0, 0
for _, letter in ipairs(letters) do
  if letter.share == share then held, held_bytes = held + 1, held_bytes + letter.bytes end
end
-- A part that was full takes letters again when some of it is free.
local most_letters, most_bytes = BOX_LETTERS / part, BOX_BYTES / part
local was_full = redis.call('HGET', KEYS[4], 'full' .. share)
local stays_full = was_full and (held > most_letters / FULL_OF * FULL_UNTIL
  or held_bytes > most_bytes / FULL_OF * FULL_UNTIL)
if held >= most_letters or held_bytes + bytes > most_bytes or stays_full then
  redis.call('HSET', KEYS[4], 'full' .. share, '1')
  return {'box_full'}
end
redis.call('HDEL', KEYS[4], 'full' .. share)

put(to, text(now), kind, share, key_id, sender, id, content)
if kind == TEXT then note_written(sender, to, to_fp, now) end
tell_owner(to, kind)
return {'kept'}
