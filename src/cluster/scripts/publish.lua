-- Another prekey of a user who is connected.
-- KEYS: lease, user:<name>. ARGV: incarnation, name, session, prekey.
-- Answers: published; or no_lease, not_held.
local own, name, session = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
local held = holder(name)
if not held or held.incarnation ~= own or held.session ~= session then return {'not_held'} end
redis.call('HSET', KEYS[2], 'prekey', ARGV[4])
return {'published'}
