-- Deletes letters of a box that were acknowledged, and tells which come next.
-- KEYS: lease, bound:<name>, content:<name>.
-- ARGV: incarnation, name, fp, 'all' or 'receipts', after which number, how many letters, how many
-- bytes unless the first alone is longer, and the numbers that were acknowledged.
-- Answers: delivered, how many were deleted, '1' where more wait, and number and letter of each;
-- or no_lease.
local name, fp, take = ARGV[2], ARGV[3], ARGV[4]
local after, most, room = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
if redis.call('GET', KEYS[2]) ~= fp then return {'delivered', 0, '0'} end
local deleted, more, answer = 0, '0', {}
for i = 8, #ARGV do
  if remove(name, ARGV[i]) then deleted = deleted + 1 end
end
for _, letter in ipairs(read_box(name)) do
  if letter.number > after and (take == 'all' or letter.kind == RECEIPT) then
    if #answer / 2 == most or (letter.bytes > room and #answer > 0) then
      more = '1'
      break
    end
    room = math.max(room - letter.bytes, 0)
    answer[#answer + 1] = text(letter.number)
    answer[#answer + 1] = redis.call('HGET', KEYS[3], text(letter.number))
  end
end
return {'delivered', deleted, more, unpack(answer)}
