-- Takes letters of one box from the file of a relay, in the order in which they came, as long as the
-- box has room. Those that were taken before are known by the highest number and the latest time of
-- them. Until the last one is taken, the box is closed for letters that come after them.
-- KEYS: lease, bound:<to>, closed:<to>, moved:<file>, letter-bytes.
-- ARGV: incarnation, to, its fp, bytes of all boxes, '1' where the file has no more letters of the
-- box, and of each letter: its number in the file, when it came, sender, its fp, id, kind, share, key
-- id, the letter.
-- Answers: moved, or all_full where no box may take more, and how many letters need be kept in the
-- file no more; or no_lease.
local _, to, fp, most, is_last = unpack(ARGV, 1, 5)
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
if redis.call('GET', KEYS[2]) ~= fp then return {'moved', 0} end
local mark = redis.call('HGET', KEYS[4], to) or '0 0'
local last, latest = string.match(mark, '^(%d+) (%d+)$')
last, latest = tonumber(last), tonumber(latest)
local seen, held, held_bytes = {}, 0, 0
for _, letter in ipairs(read_box(to)) do
  seen[letter.sender .. ' ' .. letter.id] = true
  held, held_bytes = held + 1, held_bytes + letter.bytes
end
local moved, told, word = 0, nil, 'moved'
for i = 6, #ARGV, 9 do
  local number, at, sender, sender_fp, id, kind, share, key_id, content = unpack(ARGV, i, i + 8)
  local same, bytes = sender .. ' ' .. id, #content
  if tonumber(number) > last or tonumber(at) > latest then
    if redis.call('GET', P .. 'bound:' .. sender) ~= sender_fp then break end
    if not seen[same] then
      if held >= BOX_LETTERS or held_bytes + bytes > BOX_BYTES then break end
      if tonumber(redis.call('GET', KEYS[5]) or '0') + bytes > tonumber(most) then
        word = 'all_full'
        break
      end
      put(to, at, kind, share, key_id, sender, id, content)
      seen[same], held, held_bytes = true, held + 1, held_bytes + bytes
      if told ~= RECEIPT then told = kind end
    end
    last, latest = math.max(last, tonumber(number)), math.max(latest, tonumber(at))
    redis.call('HSET', KEYS[4], to, text(last) .. ' ' .. text(latest))
  end
  moved = moved + 1
end
redis.call('PEXPIRE', KEYS[4], MOVED_KEPT)
if is_last == '1' and moved == (#ARGV - 5) / 9 then
  redis.call('DEL', KEYS[3])
else
  redis.call('SET', KEYS[3], '1', 'PX', BOX_CLOSED)
end
if told then tell_owner(to, told) end
return {word, moved}
