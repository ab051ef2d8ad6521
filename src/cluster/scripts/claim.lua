-- A connection holds a name from now on, if it may. Who holds it already and has proven the same
-- key is replaced.
-- KEYS: lease, where, of:<own>, bound:<name>, user:<name>.
-- ARGV: incarnation, name, session, version, fp, key text, prekey, '1' where it replaces nobody.
-- Answers: taken; replaced, incarnation and session of the one before;
-- or no_lease, not_bound, name_bound, name_in_use.
local own, name, session, version, fp, pem, prekey, again = unpack(ARGV)
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local owner = redis.call('GET', KEYS[4])
if version == '2' and not owner then return {'not_bound'} end
if owner and (version ~= '2' or owner ~= fp) then return {'name_bound'} end
local value = table.concat({own, session, version, fp}, ' ')
local held, answer = holder(name), {'taken'}
if held and held.value ~= value then
  if lives(held.incarnation) then
    local is_same = version == '2' and held.version == '2' and held.fp == fp
    if again == '1' or not is_same then return {'name_in_use'} end
    if held.incarnation ~= own then
      send(held.incarnation, 'replaced', held.session .. ' ' .. name)
    end
    answer = {'replaced', held.incarnation, held.session}
  end
  redis.call('ZREM', P .. 'of:' .. held.incarnation, name)
end
redis.call('HSET', KEYS[2], name, value)
redis.call('ZADD', KEYS[3], session, name)
redis.call('HSET', KEYS[5], 'fp', fp, 'pem', pem, 'prekey', prekey)
if not held or held.value ~= value then note(name, value) end
return answer
