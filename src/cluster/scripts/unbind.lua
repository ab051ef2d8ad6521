-- The operator has released a name: the next user who proves it gets it. What belongs to the name and
-- its key is deleted: its box, its letter key, and what it stored in other boxes. All other relays are
-- told, and one that is not there now is told when it would restore it.
-- KEYS: lease, bound:<name>, unbound:<name>, bindings, relays. ARGV: incarnation, name.
-- Answers: unbound; or no_lease, not_bound.
local name = ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local owner = redis.call('GET', KEYS[2])
if not owner then return {'not_bound'} end
redis.call('DEL', KEYS[2])
redis.call('SREM', P .. 'names:' .. owner, name)
redis.call('SET', KEYS[3], owner)
redis.call('DECR', KEYS[4])
for _, letter in ipairs(read_box(name)) do remove(name, text(letter.number)) end
for _, box in ipairs(redis.call('HKEYS', P .. 'sent:' .. name)) do
  for _, letter in ipairs(read_box(box)) do
    if letter.sender == name then remove(box, text(letter.number)) end
  end
end
redis.call('DEL', P .. 'written:' .. name)
if holder(name) then
  redis.call('HDEL', P .. 'user:' .. name, 'key_id', 'key_created', 'key_expires', 'key_json',
    'old_key_id', 'old_key_until', 'full' .. KNOWN, 'full' .. STRANGERS, 'full' .. RECEIPTS)
else
  redis.call('DEL', P .. 'user:' .. name)
end
for _, other in ipairs(redis.call('SMEMBERS', KEYS[5])) do
  if other ~= ARGV[1] and lives(other) then send(other, 'released', name) end
end
return {'unbound'}
