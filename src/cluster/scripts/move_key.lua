-- Takes the letter key of a user, and to whom it wrote, from the file of a relay, unless newer ones
-- are known.
-- KEYS: lease, bound:<name>, user:<name>, written:<name>.
-- ARGV: incarnation, name, fp, key text, of the letter key id, created, expires and JSON, of the one
-- before id and how long it is taken, each '' where there is none; and of each user it wrote to name,
-- fp and when.
-- Answers: moved; or no_lease, not_bound.
local _, _, fp, pem, id, created, expires, json, old_id, old_until = unpack(ARGV, 1, 10)
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
if redis.call('GET', KEYS[2]) ~= fp then return {'not_bound'} end
redis.call('HSET', KEYS[3], 'fp', fp)
if pem ~= '' then redis.call('HSETNX', KEYS[3], 'pem', pem) end
local known = tonumber(redis.call('HGET', KEYS[3], 'key_created') or '-1')
if id ~= '' and known < tonumber(created) then
  redis.call('HSET', KEYS[3], 'key_id', id, 'key_created', created, 'key_expires', expires,
    'key_json', json)
  redis.call('HDEL', KEYS[3], 'old_key_id', 'old_key_until')
  if old_id ~= '' then
    redis.call('HSET', KEYS[3], 'old_key_id', old_id, 'old_key_until', old_until)
  end
end
for i = 11, #ARGV, 3 do
  redis.call('ZADD', KEYS[4], 'GT', ARGV[i + 2], ARGV[i] .. ' ' .. ARGV[i + 1])
end
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -(WRITTEN_KEPT + 1))
return {'moved'}
